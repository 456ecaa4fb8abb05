import { expect, test } from "vitest";
import { pageOf, pathOf, returnPath } from "../src/core/path";

test.each(["/runs", "/runs/abc-1.2_x", "/sessions", "/sessions/abc", "/login"])("%s is a page", (path) => {
  expect(pathOf(pageOf(path))).toBe(path);
});

test.each(["/runs/", "/runs/a/b", "/runs/../x", "/runs/%2e%2e", "/api/runs", "//evil.example", "/x", "", "/runs/-a"])(
  "%s is none",
  (path) => {
    expect(pageOf(path)).toEqual({ name: "nothing" });
  },
);

test.each(["//evil.example", "https://evil.example", "/\\evil.example", "/login", "javascript:alert(1)", "/api/shutdown"])(
  "after a login nobody is led to %s",
  (path) => {
    expect(returnPath(path)).toBe("/runs");
  },
);
