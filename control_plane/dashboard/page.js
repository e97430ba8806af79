// What every page needs: the theme, the ticking times, the keys.
window.rp = {};
{
  const KEPT = 'runplane-theme';
  const isDark = () => document.body.classList.contains('body--dark');

  rp.otherTheme = () => {
    const dark = !isDark();
    localStorage.setItem(KEPT, dark ? 'dark' : 'light');
    setDark(dark);
  };

  const restore = () => {
    const kept = localStorage.getItem(KEPT);
    if (kept) setDark(kept === 'dark');
  };

  rp.span = milliseconds => {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    if (milliseconds >= 0 && milliseconds < 1000) return `${Math.floor(milliseconds)} ms`;
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
  };

  rp.age = ({ data }) => {
    const seconds = Math.max(0, Math.floor((Date.now() - data.created) / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  };

  // Elements that say how long something has taken, by id: from when, until when (null: still going on).
  const times = new Map();
  const show = id => {
    const { from, to } = times.get(id);
    const element = getHtmlElement(id);
    if (element) element.textContent = from === null ? '—' : rp.span((to ?? Math.max(Date.now(), from + 1000)) - from);
  };
  rp.time = (id, from, to) => {
    times.set(id, { from, to });
    show(id);
  };
  setInterval(() => {
    for (const [id, { to }] of times) if (to === null) show(id);
  }, 1000);

  window.addEventListener('load', restore);
  window.addEventListener('keydown', event => {
    const typing = event.target.closest('input, textarea, [contenteditable], .q-dialog');
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector('.rp-search input');
    if (event.key === '/' && search) {
      event.preventDefault();
      search.focus();
    }
  });
}
