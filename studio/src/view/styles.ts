// Styles for xterm.js under a policy that forbids inline style elements and attributes.
//
// It makes <style> elements and sets their text. Here such an element is an inert stand-in whose text
// goes into a constructed style sheet, which the policy has no objection to. The document itself is
// changed, since xterm.js 6 asks its `documentOverride` in some places and the document in others.
// Where it draws without WebGL, a true colour is an attribute `style`; the same said to the element's
// `style` is allowed.

let isInstalled = false;

export function constructStyles(): void {
  if (isInstalled) return;
  isInstalled = true;
  const create = document.createElement.bind(document) as (
    name: string,
    options?: ElementCreationOptions,
  ) => HTMLElement;
  const instead = (name: string, options?: ElementCreationOptions): HTMLElement =>
    name.toLowerCase() === "style" ? constructed(create("meta")) : create(name, options);
  Object.defineProperty(document, "createElement", { value: instead, configurable: true });
  const set = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name: string, value: string): void {
    if (name === "style" && this instanceof HTMLElement) this.style.cssText = value;
    else set.call(this, name, value);
  };
}

function constructed(element: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  let text = "";
  Object.defineProperty(element, "textContent", {
    get: () => text,
    set: (value: string | null) => {
      text = value ?? "";
      sheet.replaceSync(text);
    },
  });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    remove();
  };
  return element;
}
