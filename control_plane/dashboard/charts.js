// Charts: options come as plain data; a colour that begins with `--` is looked up in the page's theme.
{
  const drawn = new Map();
  const LONGEST_WAIT = 5000;

  const colour = name => getComputedStyle(document.body).getPropertyValue(name).trim() || name;
  const themed = value => {
    if (typeof value === 'string') return value.startsWith('--') ? colour(value) : value;
    if (Array.isArray(value)) return value.map(themed);
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, themed(inner)]));
    }
    return value;
  };

  const withTheme = options => {
    const axis = { axisLine: { lineStyle: { color: '--rp-line' } }, axisLabel: { color: '--rp-soft', hideOverlap: true },
      splitLine: { lineStyle: { color: '--rp-line', opacity: 0.6 } } };
    const axes = given => [].concat(given ?? []).map(one => ({ ...axis, ...one, axisLabel: { ...axis.axisLabel, ...one.axisLabel } }));
    const text = { color: '--rp-soft', fontFamily: colour('--rp-font'), fontSize: 12 };
    const tooltip = { backgroundColor: '--rp-card', borderColor: '--rp-line', textStyle: { color: '--rp-text', fontSize: 12 } };
    return themed({ ...options, textStyle: text, xAxis: axes(options.xAxis), yAxis: axes(options.yAxis),
      legend: { textStyle: text, ...options.legend }, tooltip: { ...tooltip, ...options.tooltip } });
  };

  // Numbers are shown by kind; a function cannot come from the server.
  const KINDS = {
    bytes: value => {
      const power = value > 0 ? Math.min(4, Math.floor(Math.log2(value) / 10)) : 0;
      const amount = value / 2 ** (10 * power);
      return `${amount >= 10 || power === 0 ? Math.round(amount) : amount.toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
    },
    percent: value => `${Math.round(value)} %`,
  };
  const withFormats = options => {
    for (const axis of [].concat(options.yAxis ?? [])) {
      const format = KINDS[axis.kind];
      if (format) axis.axisLabel = { ...axis.axisLabel, formatter: format };
    }
    for (const series of options.series ?? []) {
      const format = KINDS[series.kind];
      if (format) series.tooltip = { valueFormatter: value => (value === null || value === undefined ? '–' : format(value)) };
    }
    return options;
  };

  const draw = (id, since = performance.now()) => {
    const chart = getElement(id)?.chart;
    if (chart) chart.setOption(withTheme(withFormats(structuredClone(drawn.get(id)))), true);
    else if (performance.now() - since < LONGEST_WAIT) requestAnimationFrame(() => draw(id, since));
  };

  rp.chart = (id, options) => {
    drawn.set(id, options);
    draw(id);
  };

  // New points, by the number of their series; the oldest give way.
  rp.chartMore = (id, points, markers, most) => {
    const options = drawn.get(id);
    if (!options) return;
    for (const [number, more] of Object.entries(points)) {
      const data = options.series[number].data;
      data.push(...more);
      if (data.length > most) data.splice(0, data.length - most);
    }
    if (markers) options.series[0].markLine.data = markers;
    const chart = getElement(id)?.chart;
    if (!chart) return;
    const series = options.series.map(({ data, markLine }) => (markLine ? { data, markLine: themed(markLine) } : { data }));
    chart.setOption({ series });
  };

  // The theme is a class of the body, and of nothing else: what a chart does to its own elements is none of it.
  let dark;
  const again = () => {
    const now = document.body.classList.contains('body--dark');
    if (now === dark) return;
    dark = now;
    for (const id of drawn.keys()) draw(id);
  };
  window.addEventListener('load', () => {
    again();
    new MutationObserver(again).observe(document.body, { attributes: true, attributeFilter: ['class'] });
  });
}
