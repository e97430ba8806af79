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
    const text = data.stuck ? (narrow ? 'stuck' : `stuck: ${data.stuck}`) : String(value).replaceAll('_', ' ');
    const pill = withText('span', `rp-pill rp-${data.stuck ? 'amber' : HUES[value]}${live ? ' rp-live' : ''}`, text);
    pill.title = data.stuck ? `stuck: ${data.stuck}` : text;
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
        this.element.append(withText('p', '', 'No run is like that. Take a filter away, or empty the search.'));
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

  const SPARK_POINTS = 24;
  const SVG = 'http://www.w3.org/2000/svg';

  // The course of the CPU, as a line over its own greatest value; at least one core fills the height.
  rp.spark = ({ value }) => {
    const picture = document.createElementNS(SVG, 'svg');
    picture.setAttribute('viewBox', '0 0 80 22');
    picture.setAttribute('class', 'rp-spark');
    picture.setAttribute('aria-hidden', 'true');
    if (!value || value.length < 2) return picture;
    const most = Math.max(100, ...value);
    const points = value.map((one, number) => `${(number * 80) / (SPARK_POINTS - 1)},${21 - (20 * one) / most}`);
    const line = document.createElementNS(SVG, 'polyline');
    line.setAttribute('points', points.join(' '));
    picture.append(line);
    return picture;
  };

  const patched = (before, patch) => {
    const row = { ...before, ...patch };
    if ('cpu' in patch) row.spark = patch.cpu === null ? [] : [...before.spark, patch.cpu].slice(-SPARK_POINTS);
    if ('cpu' in patch) row.sparkAt = Date.now();
    return row;
  };

  // Only what changes is sent: where nothing came for a while, the course went on as it was.
  const SPARK_EVERY = 2000;
  const goOn = api => {
    const now = Date.now();
    const update = [];
    for (const { data } of api.getRenderedNodes()) {
      if (!data || data.cpu === null || now - (data.sparkAt ?? 0) < SPARK_EVERY * 1.5) continue;
      update.push({ ...data, spark: [...data.spark, data.cpu].slice(-SPARK_POINTS), sparkAt: now });
    }
    if (update.length) api.applyTransaction({ update });
  };

  rp.sendAll = (id, rows) => {
    const api = apiOf(id);
    if (!api) return;
    api.setGridOption('rowData', rows);
    sayNothing(api);
  };

  rp.send = (id, [rows, gone]) => {
    const api = apiOf(id);
    if (!api) return;
    const add = [];
    const update = [];
    for (const row of rows) {
      const node = api.getRowNode(row.run_id);
      if (node) update.push(patched(node.data, row));
      else if ('status' in row) add.push(row);
    }
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
    api.setColumnsVisible(['run_id', 'share', 'created', 'took', 'host', 'spark', 'cpu', 'memory', 'by'], !narrow);
    api.setGridOption('rowHeight', narrow ? 58 : 46);
    api.refreshCells({ force: true });
  };

  // Which rows are chosen: told to the page, and asked for by its button.
  rp.chosen = id => apiOf(id)?.getSelectedRows().map(row => row.run_id) ?? [];
  rp.selectionChanged = ({ api }) => {
    const grid = document.querySelector('.rp-grid');
    const id = Number(grid.id.replace(/^c/, ''));
    getElement(id).$emit('chosen', { count: api.getSelectedRows().length });
  };

  const PERIODS = { '1h': 3600e3, '24h': 86400e3, '7d': 604800e3 };
  const isShown = ({ status, workflow, host, stuck, started, q: sought }) => ({ data }) => {
    if (workflow && data.workflow !== workflow) return false;
    if (host && data.host !== host) return false;
    if (stuck && !data.stuck) return false;
    if (started && data.created < Date.now() - PERIODS[started]) return false;
    if (status === 'open' ? !OPEN.includes(data.status) : status && data.status !== status) return false;
    const text = [data.run_id, data.workflow, data.host, data.by, data.progress].join(' ').toLowerCase();
    return !sought || text.includes(sought);
  };

  const filter = (api, values) => {
    const wanted = { ...values, q: values.q.trim().toLowerCase() };
    narrowed = Object.values(wanted).some(Boolean);
    api.setGridOption('isExternalFilterPresent', () => narrowed);
    api.setGridOption('doesExternalFilterPass', isShown(wanted));
    api.onFilterChanged();
    sayNothing(api);
  };

  rp.ready = ({ api }, values) => {
    if (Object.values(values).some(Boolean)) filter(api, values);
    setInterval(() => {
      if (!document.hidden) goOn(api);
    }, SPARK_EVERY);
    setInterval(() => {
      if (!document.hidden) api.refreshCells({ columns: narrow ? ['workflow'] : ['created', 'took'], force: true });
    }, 1000);
  };

  rp.narrow = (id, values) => {
    const api = apiOf(id);
    if (!api) return;
    filter(api, values);
    const address = new URL(location.href);
    for (const [name, value] of Object.entries(values)) {
      if (value) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    history.replaceState(history.state, '', address);
  };
}
