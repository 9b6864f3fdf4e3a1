// Makes quicker what works without it: pieces of pages come as HTML and take their place.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const on = (type, act) => document.addEventListener(type, act);
const parse = (html) => new DOMParser().parseFromString(html, 'text/html');
const calm = matchMedia('(prefers-reduced-motion: reduce)');

function say(text) {
  const line = document.createElement('p');
  line.className = 'flash bad';
  line.textContent = text;
  $('#flash').replaceChildren(line);
}
const silent = () => say('The server does not answer. Nothing was changed; try again.');

// What the reader has opened, scrolled or focused stays so.
function place(fresh, ids) {
  const held = document.activeElement?.id;
  for (const id of ids) {
    const old = byId(id);
    const next = fresh.getElementById(id);
    if (!old || !next) continue;
    for (const details of $$('details[id]', old)) {
      const twin = fresh.getElementById(details.id);
      if (twin) twin.open = details.open;
    }
    const tails = $$('[data-tail]', old).map(({ id: tail, scrollTop: top, clientHeight: seen, scrollHeight: all }) => [
      tail, top + seen > all - 8 ? 1e9 : top,
    ]);
    old.replaceWith(next);
    for (const [tail, top] of tails) byId(tail)?.scrollTo(0, top);
  }
  if (held && document.activeElement === document.body) byId(held)?.focus();
}

let latest = 0;
async function swap(url, ids, { request, quiet } = {}) {
  const turn = quiet ? latest : ++latest;
  const regions = quiet ? [] : ids.map(byId).filter(Boolean);
  regions.forEach((region) => (region.ariaBusy = true));
  try {
    const response = await fetch(url, request);
    if (response.url.includes('/login?next')) location = response.url; // the session has ended
    const fresh = parse(await response.text());
    if (turn !== latest) return null; // overtaken
    if (response.ok) place(fresh, ids);
    else if (!quiet) say($('.error-page h1 + p', fresh)?.textContent ?? `The server answered ${response.status}.`);
    return response.ok ? response : null;
  } catch {
    if (!quiet) silent();
    return null;
  } finally {
    regions.forEach((region) => (region.ariaBusy = null));
  }
}

async function follow({ dataset }, url, request) {
  const response = await swap(url, dataset.swap.split(' '), { request });
  if (!response) return;
  if ('push' in dataset) history.pushState(null, '', response.url);
  const target = byId(dataset.focus);
  if (!target) return;
  focus(target);
  target.scrollIntoView({ block: 'nearest', behavior: calm.matches ? 'auto' : 'smooth' });
}

function focus(target) {
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
}

addEventListener('popstate', () => $('[data-push]') && location.reload());

on('click', (event) => {
  const link = event.target.closest('a[data-swap], a[data-basket-link]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  if (link.dataset.swap) follow(link, link.href);
  else visitorBasket(link.href);
});

on('submit', (event) => {
  const form = event.target;
  const { basket, themeForm, whatIf, swap: ids } = form.dataset;
  if (basket || themeForm != null || whatIf || ids) event.preventDefault();
  if (basket) changeBasket(form);
  else if (themeForm != null) setTheme(event.submitter.value);
  else if (whatIf) tryPrice(form);
  else if (ids) {
    const fields = new URLSearchParams(new FormData(form, event.submitter));
    const url = event.submitter?.getAttribute('formaction') ?? form.getAttribute('action');
    if (form.method === 'get') follow(form, `${url}?${fields}`);
    else follow(form, url, { method: 'POST', body: fields });
  }
});

// -- filters that apply themselves, the what-if slider, tick boxes
let pause;
const soon = (act, delay) => {
  clearTimeout(pause);
  pause = setTimeout(act, delay);
};
on('input', ({ target: { form, type, value } }) => {
  if (form && 'auto' in form.dataset) soon(() => form.requestSubmit(), type === 'search' ? 220 : 0);
  if (!form?.dataset.whatIf || !Number(value)) return;
  $(type === 'range' ? '[name=price]' : '[type=range]', form).value = Number(value).toFixed(2);
  soon(() => tryPrice(form), 60);
});
const tryPrice = (form) =>
  swap(`${form.getAttribute('action').split('#')[0]}?part=what-if&price=${$('[name=price]', form).value}`, [form.dataset.whatIf]);

on('change', ({ target: box }) => {
  if (box.type !== 'checkbox' || !box.form) return;
  const rows = $$(`input[name="${box.dataset.all ?? box.name}"]`, box.form);
  if (box.dataset.all) rows.forEach((row) => (row.checked = box.checked));
  const count = rows.filter((row) => row.checked).length;
  const out = $('[data-chosen]', box.form);
  if (out) out.textContent = count ? `${count} chosen` : '';
});

// -- the basket
async function changeBasket(form) {
  const begin = performance.now();
  const { basket: action, customer, id } = form.dataset;
  const adds = action === 'basket_add';
  const event = { family: 'activity', source: 'pages', action, customer_id: customer, product_id: id };
  try {
    // The server dates and numbers it. Taking out takes all of it out.
    if (!(await send(adds ? { ...event, quantity: 1 } : event))) return;
    const url = `${form.getAttribute('action')}?${new URLSearchParams({ part: 'slate', before: $('#slate').dataset.before })}`;
    const held = (root) => $$(`[data-basket-item="${CSS.escape(id)}"]`, root).length > 0;
    // The event is durable; look until the answer shows it.
    for (const delay of [0, 15, 40, 120, 300]) {
      await new Promise((done) => setTimeout(done, delay));
      const fresh = parse(await (await fetch(url)).text());
      if (held(fresh) === adds || delay === 300) return showSlate(fresh, begin);
    }
  } catch {
    silent();
  }
}

async function send(event) {
  const response = await fetch('/api/v1/events', {
    method: 'POST', headers: { 'content-type': 'application/json', 'x-csrf-token': document.body.dataset.csrf }, body: JSON.stringify(event),
  });
  const answer = await response.json();
  const fault = answer.rejected?.[0]?.reason ?? answer.detail;
  if (fault) say(`${fault} ${answer.hint ?? ''}`);
  return !fault;
}

async function visitorBasket(href) {
  const begin = performance.now();
  const address = new URL(href);
  address.searchParams.set('part', 'slate');
  try {
    showSlate(parse(await (await fetch(address)).text()), begin);
    address.searchParams.delete('part');
    address.searchParams.delete('before');
    history.replaceState(null, '', address);
  } catch {
    silent();
  }
}

// Cards that stay glide to their new place: the eye follows what changed.
function showSlate(fresh, begin) {
  const cards = () => $$('#slate [data-product]').map((card) => [card.dataset.product, card, card.getBoundingClientRect()]);
  const old = new Map(cards().map(([id, , box]) => [id, box]));
  const held = document.activeElement?.closest('#slate, #basket')?.id;
  place(fresh, ['slate', 'basket']);
  if (held) focus($(`#${held} h2`));
  $('[data-round-trip]').textContent = ` · on screen after ${Math.round(performance.now() - begin)} ms`;
  if (calm.matches) return;
  for (const [id, card, box] of cards()) {
    const was = old.get(id);
    const transform = was ? `translate(${was.left - box.left}px, ${was.top - box.top}px)` : 'scale(.96)';
    card.animate([{ transform, opacity: was ? 1 : 0 }, {}], { duration: 260, easing: 'ease-out' });
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  $(theme === 'dark' ? 'button.dark-only' : 'button.light-only').focus();
}

// -- search as you type: the ARIA combobox pattern
const describe = {
  customers: (row) => [row.customer_id, `${row.country ?? ''} · ${row.receipts} receipts`],
  products: (row) => [row.product_id, row.product_id, row.name],
};

for (const form of $$('[data-combobox]')) {
  const input = $('input[type=search]', form);
  const set = (element, values) => Object.entries(values).forEach(([name, value]) => element.setAttribute(name, value));
  const id = `${input.id}-options`;
  form.insertAdjacentHTML('beforeend', `<ul class="options" role="listbox" id="${id}" aria-label="Suggestions" hidden></ul>`);
  const list = byId(id);
  set(input, { role: 'combobox', 'aria-expanded': false, 'aria-controls': id, 'aria-autocomplete': 'list' });
  let at = -1;
  let asked = 0;
  const options = () => $$('[data-value]', list);

  const select = (index) => {
    at = index;
    options().forEach((option, n) => (option.ariaSelected = n === at));
    const chosen = options()[at];
    chosen?.scrollIntoView({ block: 'nearest' });
    set(input, { 'aria-activedescendant': chosen?.id ?? '' });
  };
  const open = (yes) => {
    list.hidden = !yes;
    input.ariaExpanded = yes;
    select(-1);
  };
  const go = ({ dataset: { value } }) => {
    const { go: start, region } = form.dataset;
    const url = new URL(start + encodeURIComponent(value), location.href);
    open(false);
    if (!region) return void (location.href = url);
    for (const id of new URLSearchParams(location.search).getAll('item')) url.searchParams.append('item', id);
    input.value = '';
    follow({ dataset: { swap: region, focus: region } }, url);
  };
  const look = async () => {
    const turn = ++asked;
    const text = input.value.trim();
    if (!text) return open(false);
    const rows = await fetch(form.dataset.combobox + encodeURIComponent(text))
      .then((response) => response.json()).then((answer) => answer[form.dataset.list] ?? [], () => []);
    if (turn !== asked || document.activeElement !== input) return;
    list.replaceChildren(...(rows.length ? rows : [null]).map((row, n) => {
      const option = document.createElement('li');
      const note = document.createElement('span');
      const [value, more, title] = row ? describe[form.dataset.list](row) : ['', '', 'Nothing found'];
      set(option, { id: `${id}-${n}`, role: 'option', ...(row ? { 'data-value': value } : { 'aria-disabled': true }) });
      note.textContent = more;
      option.append(title ?? value, note);
      return option;
    }));
    open(true);
  };

  input.addEventListener('input', () => soon(look, 90));
  input.addEventListener('keydown', (event) => {
    const count = options().length;
    if (list.hidden) return;
    if (event.key === 'Escape') open(false);
    else if (event.key === 'ArrowDown' && count) select((at + 1) % count);
    else if (event.key === 'ArrowUp' && count) select(at < 1 ? count - 1 : at - 1);
    else if (event.key === 'Enter' && at >= 0) go(options()[at]);
    else return;
    event.preventDefault();
  });
  input.addEventListener('blur', () => open(false));
  list.addEventListener('pointerdown', (event) => event.preventDefault()); // keep the focus
  list.addEventListener('click', ({ target }) => {
    const option = target.closest('[data-value]');
    if (option) go(option);
  });
}

// -- live parts: the stream says that something may have changed, the page knows how it looks
let paused = false;
let busy = false;
for (const button of $$('[data-pause]')) {
  button.hidden = false;
  button.addEventListener('click', () => {
    paused = !paused;
    button.ariaPressed = paused;
  });
}

async function refresh() {
  const inUse = document.activeElement?.closest('[data-live] form');
  if (paused || busy || document.hidden || inUse || $('[aria-busy]')) return;
  busy = true;
  const address = new URL(location.href);
  for (const key of ['done', 'n']) address.searchParams.delete(key);
  await swap(address, $$('[data-live]').map(({ id }) => id), { quiet: true });
  busy = false;
}

if ($('main [data-live]')) {
  const stream = new EventSource('/api/v1/stream');
  stream.addEventListener('status', refresh);
  stream.onerror = () => {
    $('#health').className = 'health bad';
    $('.health-text').textContent = 'connection lost';
  };
  addEventListener('pagehide', () => stream.close());
}
for (const tail of $$('[data-tail]')) tail.scrollTo(0, 1e9);
if ($('[data-retry]')) setTimeout(() => location.reload(), 3000);
