// What every page shares: the way to the server, where we are, who we are, the hour and the theme.
// Nothing here can't be rebuilt: a reload begins with the path and the cursors alone.

import { Live, type Link } from "../core/live";
import { pageOf, pathOf, returnPath, type Page } from "../core/path";
import { Rest } from "../core/rest";
import { liveHost, onReturn, transport } from "./host";

export type Theme = "auto" | "light" | "dark";
const THEME = "outlast-theme";

class Studio {
  page = $state.raw<Page>(pageOf(location.pathname));
  link = $state<Link>("connecting");
  linkSinceMs = $state(Date.now());
  nowMs = $state(Date.now());
  theme = $state<Theme>(stored());
  isDark = $state(false);
  canManage = $state(true);

  readonly rest = new Rest(transport);
  readonly live = new Live(liveHost(this.rest));

  start(): void {
    this.live.onLink = (link) => {
      this.link = link;
      this.linkSinceMs = Date.now();
    };
    this.rest.onLoggedOut = () => this.toLogin();
    setInterval(() => (this.nowMs = Date.now()), 1000);
    window.addEventListener("popstate", () => (this.page = pageOf(location.pathname)));
    document.addEventListener("click", (event) => this.clicked(event));
    onReturn(() => this.live.hurry());
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => this.applyTheme());
    this.applyTheme();
    if (wasRefused()) this.toLogin();
    else if (this.page.name !== "login") this.enter();
  }

  enter(): void {
    this.live.start();
    this.rest.get<{ scope: string }>("/api/me").then(
      (me) => (this.canManage = me.scope === "admin"),
      () => {}, // a refusal leads to the login, an outage is shown by the link
    );
  }

  go(page: Page | string): void {
    const path = typeof page === "string" ? page : pathOf(page);
    history.pushState(null, "", path);
    this.page = pageOf(location.pathname);
    scrollTo(0, 0);
  }

  // After a login: where somebody wanted to go before it.
  returnFrom(path: string): void {
    history.replaceState(null, "", returnPath(path));
    this.page = pageOf(location.pathname);
    this.enter();
  }

  toLogin(): void {
    this.live.stop();
    if (this.page.name === "login") return;
    history.replaceState({ from: location.pathname + location.search }, "", "/login");
    this.page = { name: "login" };
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    localStorage.setItem(THEME, theme);
    this.applyTheme();
  }

  private applyTheme(): void {
    const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.isDark = this.theme === "dark" || (this.theme === "auto" && prefersDark);
    document.documentElement.dataset["theme"] = this.isDark ? "dark" : "light";
  }

  // Links of our own change the page without loading it anew.
  private clicked(event: MouseEvent): void {
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    const anchor = (event.target as Element | null)?.closest("a");
    if (!isPlain || event.defaultPrevented || !anchor || anchor.target || anchor.origin !== location.origin) return;
    if (pageOf(anchor.pathname).name === "nothing" || anchor.hasAttribute("download")) return;
    event.preventDefault();
    this.go(anchor.pathname + anchor.search);
  }
}

// Did the server answer this very page with "nobody is logged in"? Then nothing else need be asked.
function wasRefused(): boolean {
  const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return entry?.responseStatus === 401;
}

function stored(): Theme {
  const found = localStorage.getItem(THEME);
  return found === "light" || found === "dark" ? found : "auto";
}

export const studio = new Studio();
