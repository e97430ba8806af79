// Cells and updates of the runs table. Everything that came from a run is set as text, never as markup.
{
  const HUES = {
    pending: 'grey', starting: 'blue', running: 'blue', paused: 'amber', terminating: 'amber', unreachable: 'amber',
    completed: 'green', failed: 'red', killed: 'violet', canceled: 'grey', timed_out: 'red', lost: 'red',
  };
  const OPEN = ['pending', 'starting', 'running', 'paused', 'terminating', 'unreachable'];
  const NARROW = 700;
  const apiOf = id => getElement(id)?.api;
  const withText = (tag, className, text) =>
    Object.assign(document.createElement(tag), { className, textContent: text });
  const addressOf = data => `/runs/${encodeURIComponent(data.run_id)}`;
  let narrow = false;
  let narrowed = false;

  rp.pill = ({ value, data }) => {
    const live = OPEN.includes(value) && value !== 'pending';
    const text = data.stuck ? `stuck: ${data.stuck}` : String(value).replaceAll('_', ' ');
    const pill = withText('span', `rp-pill rp-${data.stuck ? 'amber' : HUES[value]}${live ? ' rp-live' : ''}`, text);
    pill.title = text;
    return pill;
  };

  rp.link = ({ value, data }) => {
    const link = withText('a', 'rp-mono rp-run-link', value);
    link.href = addressOf(data);
    link.tabIndex = -1;
    return link;
  };

  // On a narrow screen the one column tells what is left out: id, age and what the run says.
  rp.name = ({ value, data }) => {
    const name = withText('div', 'rp-cut', value);
    name.title = value;
    if (!narrow) return name;
    const cell = withText('div', 'rp-two-lines', '');
    const more = withText('div', 'rp-cut rp-soft', `${rp.age({ data })} · ${data.progress || data.run_id}`);
    cell.append(name, more);
    return cell;
  };

  rp.bar = ({ value, data }) => {
    const cell = withText('div', 'rp-progress', '');
    if (value !== null && value !== undefined) {
      const track = withText('div', 'rp-bar', '');
      const fill = withText('div', `rp-fill-${HUES[data.status]}`, '');
      fill.style.width = `${100 * value}%`;
      track.append(fill);
      cell.append(track);
    }
    if (data.progress) {
      const text = withText('div', 'rp-progress-text', data.progress);
      text.title = data.progress;
      cell.append(text);
    }
    return cell;
  };

  rp.tookValue = ({ data }) => (data.started === null ? null : (data.ended ?? Date.now()) - data.started);

  rp.took = ({ value, data }) => {
    if (value === null) return '';
    return rp.span(data.ended === null ? Math.max(1000, value) : value);
  };

  rp.size = ({ value }) => {
    if (value === null || value === undefined) return '';
    return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${(value / 2 ** 20).toFixed(0)} MiB`;
  };

  rp.percent = ({ value }) => (value === null || value === undefined ? '' : `${value} %`);

  // What stands in place of rows.
  rp.nothing = class {
    init() {
      this.element = withText('div', 'rp-nothing', '');
      this.refresh();
    }
    getGui() {
      return this.element;
    }
    refresh() {
      this.element.replaceChildren();
      if (narrowed) {
        this.element.append(withText('p', '', 'No run is like that. Choose another status, or empty the search.'));
      } else {
        this.element.append(withText('p', '', 'No run yet. Start one:'), withText('code', '', 'runplane run WORKFLOW'));
      }
    }
  };

  // The grid takes its own overlay away with every change of rows, also when none of them is shown.
  const sayNothing = api => {
    api.hideOverlay();
    if (api.getDisplayedRowCount() === 0) api.showNoRowsOverlay();
  };

  rp.send = (id, rows, gone) => {
    const api = apiOf(id);
    if (!api) return;
    const add = [];
    const update = [];
    for (const row of rows) (api.getRowNode(row.run_id) ? update : add).push(row);
    const remove = gone.filter(run => api.getRowNode(run)).map(run => ({ run_id: run }));
    api.applyTransaction({ add, update, remove });
    sayNothing(api);
  };

  // A click or Enter opens the run; with Ctrl or the middle button the link in the row does, in a tab of its own.
  rp.open = ({ data, event }) => {
    const isKey = event instanceof KeyboardEvent;
    if (!data || (isKey && event.key !== 'Enter') || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!isKey && (event.target.closest('a') || String(getSelection()))) return;
    location.assign(addressOf(data));
  };

  rp.fit = ({ api, clientWidth }) => {
    if (narrow === clientWidth < NARROW) return;
    narrow = clientWidth < NARROW;
    api.setColumnsVisible(['run_id', 'share', 'created', 'took', 'host', 'cpu', 'memory', 'by'], !narrow);
    api.setGridOption('rowHeight', narrow ? 58 : 46);
    api.refreshCells({ force: true });
  };

  const isShown = (status, sought) => ({ data }) => {
    if (status === 'open' ? !OPEN.includes(data.status) : status && data.status !== status) return false;
    const text = [data.run_id, data.workflow, data.host, data.by, data.progress].join(' ').toLowerCase();
    return !sought || text.includes(sought);
  };

  const filter = (api, status, search) => {
    const sought = search.trim().toLowerCase();
    narrowed = Boolean(status || sought);
    api.setGridOption('isExternalFilterPresent', () => narrowed);
    api.setGridOption('doesExternalFilterPass', isShown(status, sought));
    api.onFilterChanged();
    sayNothing(api);
  };

  rp.ready = ({ api }, status, search) => {
    if (status || search) filter(api, status, search);
    setInterval(() => {
      if (!document.hidden) api.refreshCells({ columns: narrow ? ['workflow'] : ['created', 'took'], force: true });
    }, 1000);
  };

  rp.narrow = (id, status, search) => {
    const api = apiOf(id);
    if (!api) return;
    filter(api, status, search);
    const address = new URL(location.href);
    for (const [name, value] of [['status', status], ['q', search]]) {
      if (value) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    history.replaceState(history.state, '', address);
  };
}
