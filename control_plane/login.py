"""The page a browser gets that showed no token: paste one. No script, nothing fetched."""

from html import escape

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Runplane: sign in</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 100vh; margin: 0 }}
main {{ width: min(26rem, 90vw) }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: .6rem; margin-top: .6rem }}
code {{ background: color-mix(in srgb, currentColor 12%, transparent); padding: .1em .3em; border-radius: .2em }}
.wrong {{ color: #c62828; font-weight: 600 }}
</style></head><body><main>
<h1>Runplane</h1>
{wrong}<form method="post" action="/login">
<input type="hidden" name="next" value="{address}">
<label for="token">Access token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Sign in</button>
</form>
<p>The token stands in <code>~/.runplane/token</code> on the machine that runs <code>runplane up</code>
(or in <code>$RUNPLANE_HOME/token</code>).</p>
</main></body></html>
"""
_WRONG = '<p class="wrong" role="alert">Nobody has this token. Copy the whole line and try again.</p>\n'


def login_page(address: str, *, wrong: bool = False) -> str:
    """The page; ``address`` is where the browser goes on to."""
    return _PAGE.format(address=escape(address, quote=True), wrong=_WRONG if wrong else "")
