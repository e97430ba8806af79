// Cells and updates of the runs table. Everything that came from a run is set as text, never as markup.
window.rp = (() => {
  const HUES = {
    pending: 'grey', starting: 'blue', running: 'blue', paused: 'amber', terminating: 'amber', unreachable: 'amber',
    completed: 'green', failed: 'red', killed: 'violet', canceled: 'grey', timed_out: 'red', lost: 'red',
  };
  const OPEN = ['pending', 'starting', 'running', 'paused', 'terminating', 'unreachable'];
  const apiOf = id => getElement(id)?.api;

  const pill = ({ value, data }) => {
    const element = document.createElement('span');
    const live = OPEN.includes(value) && value !== 'pending';
    element.className = `rp-pill rp-${data.stuck ? 'amber' : HUES[value]}${live ? ' rp-live' : ''}`;
    element.textContent = data.stuck ? `stuck: ${data.stuck}` : String(value).replace('_', ' ');
    return element;
  };

  const bar = ({ value, data }) => {
    const element = document.createElement('div');
    element.className = 'rp-progress';
    if (value !== null && value !== undefined) {
      const track = document.createElement('div');
      const fill = document.createElement('div');
      track.className = 'rp-bar';
      fill.style.width = `${100 * value}%`;
      fill.className = `rp-fill-${HUES[data.status]}`;
      track.append(fill);
      element.append(track);
    }
    if (data.progress) {
      const text = document.createElement('div');
      text.className = 'rp-progress-text';
      text.textContent = text.title = data.progress;
      element.append(text);
    }
    return element;
  };

  const age = ({ data }) => {
    const seconds = Math.max(0, ((data.ended || Date.now()) - (data.started || data.created)) / 1000);
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d`;
  };

  const size = ({ value }) => {
    if (value === null || value === undefined) return '';
    return value > 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${(value / 2 ** 20).toFixed(0)} MiB`;
  };

  const percent = ({ value }) => (value === null || value === undefined ? '' : `${value} %`);

  const send = (id, rows) => {
    const api = apiOf(id);
    if (!api) return;
    const add = [];
    const update = [];
    for (const row of rows) (api.getRowNode(row.run_id) ? update : add).push(row);
    api.applyTransaction({ add, update });
  };

  const tick = id => apiOf(id)?.refreshCells({ columns: ['created'], force: true });

  const narrow = (id, status, search) => {
    const api = apiOf(id);
    if (!api) return;
    const sought = search.toLowerCase();
    api.setGridOption('isExternalFilterPresent', () => Boolean(status || sought));
    api.setGridOption('doesExternalFilterPass', ({ data }) => {
      if (status === 'open' ? !OPEN.includes(data.status) : status && data.status !== status) return false;
      const text = [data.run_id, data.workflow, data.host, data.by, data.progress].join(' ').toLowerCase();
      return !sought || text.includes(sought);
    });
    api.onFilterChanged();
    const address = new URL(location.href);
    for (const [name, value] of [['status', status], ['q', search]]) {
      if (value) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    history.replaceState(null, '', address);
  };

  return { pill, bar, age, size, percent, send, tick, narrow };
})();
