import { expect } from "chai";
import { fillTemplate, parseTemplate } from "../../../src/rest/http-rule.ts";

describe("path templates", () => {
  const good: [string, unknown][] = [
    ["/users", [{ literal: "users" }]],
    ["/a-b/c.d/e_f/~g", [{ literal: "a-b" }, { literal: "c.d" }, { literal: "e_f" }, { literal: "~g" }]],
    ["/users/{user_id}", [{ literal: "users" }, { field: "user_id" }]],
    ["/users/{user_id=*}", [{ literal: "users" }, { field: "user_id" }]],
    ["/{a}/x/{b}", [{ field: "a" }, { literal: "x" }, { field: "b" }]],
  ];
  for (const [template, segments] of good)
    it(`accepts ${template}`, () => expect(parseTemplate(template)).to.deep.equal(segments));

  const bad: [string, string][] = [
    ["", "the path must begin with /"],
    ["users", "the path must begin with /"],
    ["/", 'the path segment "" is not supported'],
    ["/users/", 'the path segment "" is not supported'],
    ["//users", 'the path segment "" is not supported'],
    ["/users/*", 'the path segment "*" is not supported'],
    ["/users/**", 'the path segment "**" is not supported'],
    ["/users/{user.id}", 'the path segment "{user.id}" is not supported'],
    ["/{name=users/*}", 'the path segment "{name=users" is not supported'],
    ["/{name=**}", 'the path segment "{name=**}" is not supported'],
    ["/{}", 'the path segment "{}" is not supported'],
    ["/{a}{b}", 'the path segment "{a}{b}" is not supported'],
    ["/x{a}", 'the path segment "x{a}" is not supported'],
    ["/users/{id}:undelete", 'the path segment "{id}:undelete" is not supported'],
    ["/users:undelete", 'the path segment "users:undelete" is not supported'],
    ["/a%20b", 'the path segment "a%20b" is not supported'],
    ["/a?b", 'the path segment "a?b" is not supported'],
    ["/{a}/{a}", 'the path binds "a" twice'],
  ];
  for (const [template, message] of bad)
    it(`refuses ${template}`, () => expect(() => parseTemplate(template)).to.throw(Error, message));

  it("fills in values, percent-encoded", () => {
    expect(fillTemplate(parseTemplate("/a/{b}/c/{d}"), ["x y", ">/é"])).to.equal("/a/x%20y/c/%3E%2F%C3%A9");
  });
});
