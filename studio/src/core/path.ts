// Which page a path means, and the path of a page. The server lists the same paths in
// routes/pages.py; what isn't among them is "nothing" here and 404 there.

export type Page =
  | { name: "runs" }
  | { name: "run"; id: string }
  | { name: "sessions" }
  | { name: "session"; id: string }
  | { name: "login" }
  | { name: "nothing" };

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export function pageOf(path: string): Page {
  const parts = path.split("/").slice(1);
  const [first, second] = parts;
  if (path === "/") return { name: "runs" };
  if (parts.length === 1) {
    if (first === "runs" || first === "sessions" || first === "login") return { name: first };
  } else if (parts.length === 2 && second !== undefined && ID.test(second)) {
    if (first === "runs") return { name: "run", id: second };
    if (first === "sessions") return { name: "session", id: second };
  }
  return { name: "nothing" };
}

export function pathOf(page: Page): string {
  switch (page.name) {
    case "run":
      return `/runs/${page.id}`;
    case "session":
      return `/sessions/${page.id}`;
    case "nothing":
      return "/";
    default:
      return `/${page.name}`;
  }
}

// Where to go after a login: a path of ours, and never another site.
export function returnPath(path: string): string {
  const page = pageOf(path);
  return page.name === "login" || page.name === "nothing" ? "/runs" : path;
}
