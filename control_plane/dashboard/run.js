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
    search(id);
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
    const before = element.childElementCount;
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
    const added = element.childElementCount - before;
    while (element.childElementCount > MOST_LINES) element.firstElementChild.remove();
    if (follows) element.scrollTop = element.scrollHeight;
    else unread(id, added);
    search(id, false);
  };

  // Following stops by itself when somebody scrolls up; how much came meanwhile is said.
  const missed = new Map();
  const unread = (id, added) => {
    const count = added ? (missed.get(id) ?? 0) + added : 0;
    missed.set(id, count);
    const button = document.getElementById(`rp-follow-${id}`);
    if (!button) return;
    button.hidden = count === 0 && isAtEnd(getHtmlElement(id));
    button.textContent = count ? `↓ ${count} new line${count === 1 ? '' : 's'}` : '↓ Follow';
  };

  // What is looked for is marked without touching the lines: marks of the browser, not elements.
  const searches = new Map();
  const search = (id, jump = true) => {
    const state = searches.get(id);
    const element = getHtmlElement(id);
    if (!state || !element || !globalThis.Highlight) return;
    const wanted = state.exact ? state.text : state.text.toLowerCase();
    const found = [];
    for (const child of wanted ? element.children : []) {
      if (child.offsetParent === null || !child.firstChild) continue;
      const text = state.exact ? child.textContent : child.textContent.toLowerCase();
      for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
        const range = new Range();
        range.setStart(child.firstChild, at);
        range.setEnd(child.firstChild, at + wanted.length);
        found.push(range);
      }
    }
    state.found = found;
    if (jump || state.at >= found.length) state.at = found.length - 1;
    CSS.highlights.set('rp-found', new Highlight(...found));
    show(id, jump);
  };
  const show = (id, jump) => {
    const { found, at, text } = searches.get(id);
    const chosen = found[at];
    CSS.highlights.set('rp-found-here', new Highlight(...(chosen ? [chosen] : [])));
    if (chosen && jump) chosen.startContainer.parentElement.scrollIntoView({ block: 'center' });
    const said = document.getElementById(`rp-found-${id}`);
    if (said) said.textContent = !text ? '' : found.length ? `${at + 1} of ${found.length}` : 'not found';
  };
  rp.outputSearch = (id, changes) => {
    searches.set(id, { text: '', exact: false, at: 0, found: [], ...searches.get(id), ...changes });
    search(id);
  };
  rp.outputStep = (id, by) => {
    const state = searches.get(id);
    if (!state?.found.length) return;
    state.at = (state.at + by + state.found.length) % state.found.length;
    show(id, true);
  };
  rp.outputStreams = (id, stream) => {
    const element = getHtmlElement(id);
    element.dataset.stream = stream;
    search(id, false);
  };
  rp.outputCopy = (id, button) => {
    const lines = [...getHtmlElement(id).children].filter(child => child.offsetParent !== null);
    navigator.clipboard.writeText(lines.map(child => child.textContent).join('\n')).then(() => {
      button.textContent = 'Copied';
      setTimeout(() => (button.textContent = 'Copy'), 1500);
    });
  };
  rp.outputFollow = id => {
    const element = getHtmlElement(id);
    element.scrollTop = element.scrollHeight;
    unread(id, 0);
  };
  rp.outputWatch = id => {
    const element = getHtmlElement(id);
    element?.addEventListener('scroll', () => {
      if (isAtEnd(element)) unread(id, 0);
      else if (!(missed.get(id) > 0)) unread(id, 0);
    });
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
      const whole = Object.assign(document.createElement('a'), { className: 'rp-link', textContent: seq });
      whole.href = `/audit?run=${encodeURIComponent(location.pathname.split('/').pop())}&seq=${seq}`;
      whole.title = 'The whole record, and the run as it was then';
      row.append(whole, line('rp-soft', time), line('rp-event-type', type), line('rp-soft', who));
      row.append(line('rp-event-gist', gist));
      element.append(row);
    }
    while (element.childElementCount > MOST_EVENTS) element.firstElementChild.remove();
    narrow(element);
  };

  const narrow = element => {
    const wanted = (element.dataset.wanted ?? '').trim().toLowerCase();
    for (const row of element.children) row.hidden = Boolean(wanted) && !row.textContent.toLowerCase().includes(wanted);
  };
  rp.narrowEvents = (id, text) => {
    const element = getHtmlElement(id);
    element.dataset.wanted = text;
    narrow(element);
  };

  // The timeline: a row a step, in the order in which they began; a step that goes on grows.
  const MOST_STEPS = 400;
  const timelines = new Map();
  const HUES = { started: 'blue', completed: 'green', failed: 'red', ended: 'grey' };
  const timeline = id => {
    if (!timelines.has(id)) timelines.set(id, { steps: [], end: null });
    return timelines.get(id);
  };

  rp.steps = (id, records) => {
    const { steps } = timeline(id);
    for (const told of records) {
      const open = steps.findLast(step => step.name === told.name && step.index === told.index && step.to === null);
      if (told.state === 'started') steps.push({ ...told, from: told.at, to: null, texts: [told.more] });
      else if (open) Object.assign(open, { state: told.state, to: told.at, texts: [...open.texts, told.more] });
      else steps.push({ ...told, from: told.at, to: told.at, texts: [told.more] });
    }
    if (steps.length > MOST_STEPS) steps.splice(0, steps.length - MOST_STEPS);
    drawSteps(id);
  };
  rp.stepsEnd = (id, moment) => {
    timeline(id).end = moment;
    drawSteps(id);
  };

  const drawSteps = id => {
    const element = getHtmlElement(id);
    const { steps, end } = timeline(id);
    if (!element || !steps.length) return;
    const now = end ?? Date.now();
    const begin = steps[0].from;
    const whole = Math.max(1, ...steps.map(step => step.to ?? now), now - 0) - begin || 1;
    steps.forEach((step, number) => {
      let row = element.children[number];
      if (!row) {
        row = line('rp-step', '');
        row.setAttribute('role', 'listitem');
        row.innerHTML = '<button type="button" class="rp-step-head"><span class="rp-step-name rp-cut"></span>' +
          '<span class="rp-step-track"><span></span></span><span class="rp-step-took"></span></button><pre hidden></pre>';
        row.firstChild.addEventListener('click', () => {
          const more = row.lastChild;
          if (more.textContent) more.hidden = !more.hidden;
          row.firstChild.setAttribute('aria-expanded', String(!more.hidden));
        });
        element.append(row);
      }
      const [name, track, took] = row.firstChild.children;
      const state = step.to === null && end !== null ? 'ended' : step.state;
      const until = step.to ?? now;
      name.textContent = step.name;
      name.title = step.name;
      name.style.paddingLeft = `${(step.depth ?? 0) * 14}px`;
      const bar = track.firstChild;
      bar.className = `rp-fill-${HUES[state]}${state === 'started' ? ' rp-grows' : ''}`;
      bar.style.marginLeft = `${(100 * (step.from - begin)) / whole}%`;
      bar.style.width = `${Math.max(0.4, (100 * (until - step.from)) / whole)}%`;
      const word = { started: 'running', ended: 'did not end' }[state] ?? (state === 'failed' ? 'failed' : '');
      took.textContent = [rp.span(Math.max(0, until - step.from)), word].filter(Boolean).join(' · ');
      const text = step.texts.filter(Boolean).join('\n');
      if (row.lastChild.textContent !== text) row.lastChild.textContent = text;
      row.classList.toggle('rp-has-more', Boolean(text));
    });
    while (element.childElementCount > steps.length) element.lastElementChild.remove();
  };
  setInterval(() => {
    if (document.hidden) return;
    for (const [id, { steps, end }] of timelines) if (end === null && steps.some(step => step.to === null)) drawSteps(id);
  }, 1000);

  // The keys that every debugger has, while the debug view is before the viewer.
  rp.debugKeys = id => {
    document.addEventListener('keydown', event => {
      const view = getHtmlElement(id);
      if (!view || !view.offsetParent) return;
      const key = `${event.shiftKey ? 'Shift+' : ''}${event.key}`;
      const button = view.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (!button) return;
      event.preventDefault();
      if (!button.disabled) button.click();
    });
  };
}
