"""What the control plane of a home says of itself, for ``runplane doctor``: nothing where none runs there."""

from runplane.cli.findings import Finding, Verdict, findings_of
from runplane.cli.home import Home
from runplane.cli.loopback import get

PREFIX = "plane: "


def ask_plane(home: Home) -> list[Finding]:
    """Its checks; one finding that says so where it should be there and does not answer."""
    endpoint = home.read_endpoint()
    if endpoint is None:
        return []
    answer = get(f"{endpoint.url}/healthz", token=endpoint.token)
    if isinstance(answer.body, dict) and "checks" in answer.body:
        return findings_of(answer.body, prefix=PREFIX)
    return [
        Finding(
            name="control plane",
            verdict=Verdict.WARNING,
            found=f"does not say how it is at {endpoint.url}",
            advice="`runplane up` starts it; runs go on without it",
        )
    ]
