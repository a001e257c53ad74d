// Scans of an open page: numbers without a unit, ticks that occur twice on an axis, columns that are cut off.

// Arguments: units, nouns that are counted, and labels that state the kind of a number, as parts of regular expressions.
window.scanUnits = ([units, nouns, labels]) => {
  const SKIPPED = 'code, pre, .id, .message, .why, .text, .reason, option, select, input, textarea, .hidden, [hidden], ' +
    'script, style, title, .name, .rest-text';
  const PLACES = 'td, tbody th, dd, figcaption, h2, .heading .aside, .legend, .caption, svg text, .queue li, .doing, .note, ' +
    '.when, .numbers, .axis, .keys, .tabs a, summary';
  const number = /(?<![\w.:_-])[+\-−±]?\d(?:[\d.,\u202f]*\d)?(?:e[+\-−]?\d+)?/g;
  const unit = new RegExp(`^[\\s\u00a0]?(?:${units.map((u) => u.replace('²', '\\²')).join('|')})(?![a-z])`);
  const noun = new RegExp(`^[\\s\u00a0](?:${nouns.join('|')})(?![a-z])`, 'i');
  const label = new RegExp(`^(?:${labels.join('|')})$`, 'i');
  const before = new RegExp(`(?:^|[^a-z])(?:attempt|subband|pid|port|page|antenna|station|spw|id|next|of|to|×|·|/|,|and|≤|≥|<|>|±|${nouns.join('|')})\\s?$`, 'i');
  const hms = /\d+h\d\dm[\d.]+s/g, dms = /[+−-]?\d+°\d\d′[\d.]+″/g;
  const date = /\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\b\d\d:\d\d(?::\d\d)?\b|\b[01]\d-[0-3]\d\b|\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b/g;
  const textOf = (element) => {
    const copy = element.cloneNode(true);
    for (const part of copy.querySelectorAll(SKIPPED)) part.replaceWith(' ');
    for (const part of copy.querySelectorAll('svg')) part.replaceWith(' ');
    for (const part of copy.querySelectorAll('*')) part.after(' ');
    return copy.textContent.replace(/\s+/g, ' ').trim();
  };
  const contextOf = (element) => {
    const cell = element.closest('td, tbody th');
    const words = [];
    if (cell) {
      const table = cell.closest('table');
      const heads = table.querySelectorAll('thead th');
      words.push(heads[cell.cellIndex]?.textContent ?? '', cell.parentElement.querySelector('th')?.textContent ?? '');
    }
    const term = element.closest('div, li')?.querySelector('dt');
    if (term) words.push(term.textContent);
    if (element.closest('[data-unit]')) words.push(`(${element.closest('[data-unit]').dataset.unit})`);
    if (element.closest('svg')) words.push(element.closest('svg').getAttribute('aria-label') ?? '');
    return words.map((text) => text.replace(/\s+/g, ' ').trim());
  };
  const faults = [];
  const report = (element, text, what) => faults.push(
    `${element.tagName.toLowerCase()}.${element.getAttribute('class') ?? ''} "${text.slice(0, 90)}": ${what}`);
  for (const element of document.querySelectorAll(`#main :is(${PLACES})`)) {
    if (element.matches(SKIPPED) || element.closest(SKIPPED)) continue;
    if (element.parentElement.closest(PLACES)) continue;
    const text = textOf(element).replace(/\S*[A-Za-z]\S*_\S*|\d+[A-Z]+\d+/g, ' ');  // names of sets and calibrators
    if (!/\d/.test(text)) continue;
    const context = contextOf(element);
    const isUtc = [text, ...context, element.closest('section, figure, li')?.querySelector('h2, figcaption, .utc')?.textContent ?? '']
      .some((words) => /UTC|LST/.test(words));
    const times = text.match(date) ?? [];
    if (times.length && !isUtc) report(element, text, `${times[0]} without UTC`);
    const rest = text.replace(date, ' ').replace(hms, ' ').replace(dms, ' ');
    const isNamed = context.some((words) => label.test(words) || /\([^)]*[A-Za-z%°″×][^)]*\)$/.test(words) || units.includes(words));
    const hasUnitColumn = [...(element.closest('tr')?.cells ?? [])].some((cell, n) =>
      /^unit$/i.test(element.closest('table').querySelectorAll('thead th')[n]?.textContent.trim() ?? ''));
    if (isNamed || hasUnitColumn) continue;
    for (const match of rest.matchAll(number)) {
      const after = rest.slice(match.index + match[0].length), prior = rest.slice(0, match.index);
      if (unit.test(after) || noun.test(after) || before.test(prior)) continue;
      report(element, text, `${match[0]} without a unit`);
    }
  }
  return [...new Set(faults)];
};

window.scanTicks = () => [...document.querySelectorAll('svg')].flatMap((svg) => {
  const seen = new Map(), twice = [];
  for (const text of svg.querySelectorAll('text')) {
    const box = text.getBoundingClientRect();
    if (!text.textContent.trim() || !text.checkVisibility()) continue;
    for (const key of [`y${Math.round(box.top)} ${text.textContent}`, `x${Math.round(box.right)} ${text.textContent}`]) {
      if (seen.has(key)) twice.push(`${svg.getAttribute('class') ?? svg.id}: ${text.textContent} twice on an axis`);
      seen.set(key, text);
    }
  }
  return twice;
});

window.scanColumns = () => [...document.querySelectorAll('table')].filter((table) => table.checkVisibility()).flatMap((table) => {
  const frame = table.closest('.scroll, .card, #main');
  return [...table.querySelectorAll('td, th')].filter((cell) => {
    const box = cell.getBoundingClientRect();
    return box.width > 1 && (box.right > innerWidth + 0.5 || box.right > frame.getBoundingClientRect().right + 0.5);
  }).map((cell) => `${table.className || 'table'}: ${cell.textContent.trim().slice(0, 40)} is cut off`).slice(0, 3);
});
