// The growing parts of a run's page: its output and its events. Everything is set as text, never as markup.
{
  const MOST_LINES = 2000;
  const MOST_EVENTS = 500;
  const LONGEST_LINE = 20000;
  const views = new Map();

  const line = (className, text) => Object.assign(document.createElement('div'), { className, textContent: text });
  const isAtEnd = element => element.scrollHeight - element.scrollTop - element.clientHeight < 24;

  rp.outputBegins = id => {
    const element = getHtmlElement(id);
    if (!element) return;
    element.replaceChildren();
    views.set(id, { open: new Map(), attempt: null });
  };

  // A line without its end stays open, so that a question that waits for an answer is seen, and goes on later.
  const put = (element, view, stream, text) => {
    const parts = text.replaceAll('\r\n', '\n').split('\n');
    parts.forEach((part, number) => {
      let last = view.open.get(stream);
      if (last && last.textContent.length > LONGEST_LINE) last = undefined;
      if (number === 0 && last) {
        last.textContent += part;
      } else if (number < parts.length - 1 || part) {
        last = line(stream === 'stderr' ? 'rp-stderr' : '', part);
        element.append(last);
      } else {
        last = undefined;
      }
      if (last) {
        const shown = last.textContent;
        const from = shown.lastIndexOf('\r', shown.length - 2) + 1;
        if (from) last.textContent = shown.slice(from);
      }
      view.open.set(stream, number < parts.length - 1 ? undefined : last);
    });
  };

  rp.outputMore = (id, pieces, someLeftOut) => {
    const element = getHtmlElement(id);
    const view = views.get(id);
    if (!element || !view) return;
    const follows = isAtEnd(element);
    if (someLeftOut) {
      element.append(line('rp-aside', 'Output is left out here; `runplane logs RUN` has all of it.'));
      view.open.clear();
    }
    for (const [attempt, stream, text] of pieces) {
      if (view.attempt !== null && view.attempt !== attempt) {
        element.append(line('rp-aside', `Attempt ${attempt}`));
        view.open.clear();
      }
      view.attempt = attempt;
      put(element, view, stream, text);
    }
    while (element.childElementCount > MOST_LINES) element.firstElementChild.remove();
    if (follows) element.scrollTop = element.scrollHeight;
  };

  rp.outputShown = id => {
    const element = getHtmlElement(id);
    if (element) element.scrollTop = element.scrollHeight;
  };

  rp.events = (id, records) => {
    const element = getHtmlElement(id);
    if (!element) return;
    for (const [seq, time, type, who, gist] of records) {
      const row = line('rp-event', '');
      row.append(line('rp-soft', seq), line('rp-soft', time), line('rp-event-type', type), line('rp-soft', who));
      row.append(line('rp-event-gist', gist));
      element.append(row);
    }
    while (element.childElementCount > MOST_EVENTS) element.firstElementChild.remove();
  };
}
