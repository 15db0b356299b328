// Building and exchanging elements. Text from the API becomes text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Elements with listeners of their own. */
const LISTENING = new WeakSet();

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
      LISTENING.add(element);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined),
  );
  return element;
}

/** An HTML element: attributes, `on…` listeners, children (strings become text). */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Makes `children` the content of `container`. What is equal stays, so that a selection, a reader's
 * place, what was scrolled and the focus stay; focus follows `data-key` where elements moved.
 */
export function swap(container, ...children) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset?.key;
  exchange(
    container,
    children.flat(Infinity).filter((child) => child !== null && child !== undefined),
  );
  if (key !== undefined && document.activeElement?.dataset?.key !== key) {
    container.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  }
}

function exchange(container, fresh) {
  fresh.forEach((child, place) => {
    const old = container.childNodes[place];
    if (old === undefined) container.append(child);
    else if (child instanceof Node) become(old, child);
    else if (old.nodeType !== Node.TEXT_NODE || old.data !== child) old.replaceWith(child);
  });
  while (container.childNodes.length > fresh.length) container.lastChild.remove();
}

function become(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  // A listener knows what it was made for: an element that has one is exchanged whole.
  if (
    old.nodeName !== fresh.nodeName ||
    old.nodeType !== Node.ELEMENT_NODE ||
    LISTENING.has(old) ||
    LISTENING.has(fresh)
  ) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  exchange(old, [...fresh.childNodes]);
}

/** A table that scrolls in itself where it is too wide, and says what it holds. */
export function table(caption, columns, body, attributes = {}) {
  const head = columns.map(([label, kind]) =>
    h("th", { scope: "col", class: kind ?? null }, label),
  );
  const { region, ...rest } = attributes;
  const inner = h(
    "table",
    rest,
    h("caption", { class: "heard" }, caption),
    h("thead", {}, h("tr", {}, head)),
    body,
  );
  const scrolls = { class: "scrolls", role: "region", "aria-label": caption, tabindex: "0" };
  return region === false ? inner : h("div", scrolls, inner);
}

/** A note in place of content. */
export function note(...children) {
  return h("p", { class: "note" }, ...children);
}
