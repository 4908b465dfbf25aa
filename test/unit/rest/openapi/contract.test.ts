import { readFileSync } from "node:fs";
import { expect } from "chai";
import { described } from "./described.ts";

// biome-ignore lint/suspicious/noExplicitAny: the shape of a document is what the tests assert
type Json = any;

const read = (name: string) => readFileSync(`test/contract/${name}.txt`, "utf8");

/** The JSON samples of a text, each a block from a brace to a brace at the beginning of a line. */
function samples(text: string): Json[] {
  return [...text.matchAll(/^\{\n.*?^\}$/gms)].map(([sample]) => JSON.parse(sample));
}

/** The published documents leave out the zone that their own "Data Format Standards" ask for. */
function inUtc(sample: Json): Json {
  return JSON.parse(JSON.stringify(sample).replaceAll(/(T\d\d:\d\d:\d\d)"/g, '$1Z"'));
}

describe("the published documents", () => {
  const { document } = described();

  function examplesOf(operation: Json, status: number | string): Json[] {
    const response = operation.responses[status];
    const { $ref } = response ?? {};
    const { content } = $ref === undefined ? response : document.components.responses[$ref.split("/").at(-1)];
    const { example, examples } = content["application/json"];
    return example === undefined ? Object.values<Json>(examples).map(({ value }) => value) : [example];
  }

  const sections = read("privacy-control-api")
    .split(/^Quick Reference Guide$/m)[0]
    ?.split(/^\d+\. (?=\w+ .*\n\nPurpose:)/m)
    .slice(1);

  it("have six endpoints for blocks and mutes", () => {
    expect(sections).to.have.length(6);
  });

  for (const section of sections ?? []) {
    const [title = ""] = section.split("\n");
    const [, method = "", path = ""] = /^Endpoint: (\w+) \{base_url\}(\S+)$/m.exec(section) ?? [];
    const operation = document.paths[`/api/v1${path}`]?.[method.toLowerCase()];

    it(`${title}: every sample is an example of ${method} ${path}, to the order of its fields`, () => {
      const found = samples(section).map(inUtc);
      expect(found.length).to.be.at.least(3);
      for (const sample of found) {
        const [status] = Object.keys(operation.responses).filter((candidate) =>
          examplesOf(operation, candidate).some(({ httpStatus }) => httpStatus === sample.httpStatus),
        );
        const texts = examplesOf(operation, status ?? "").map((example) => JSON.stringify(example));
        expect(texts).to.include(JSON.stringify(sample));
      }
    });

    it(`${title}: every status is documented`, () => {
      const statuses = [...section.matchAll(/^ {2}• (\d{3}) [A-Z_]+:/gm)].map(([, status = ""]) => status);
      expect(statuses).to.include("500");
      expect(operation.responses).to.include.all.keys(...statuses);
    });
  }

  it("PATCH /users/me/privacy: every sample is an example", () => {
    const text = read("privacy-settings-api");
    const operation = document.paths["/users/me/privacy"].patch;
    const [request] = samples(text.split("Request examples")[1] ?? "");
    expect(operation.requestBody.content["application/json"].example).to.eql(request);
    const responses = text.split(/^Response examples \((?=\d{3}\)$)/m).slice(1);
    expect(responses).to.have.length(8);
    for (const response of responses) {
      const status = Number(response.slice(0, 3));
      const [sample] = samples(response);
      // One sample of a 500 is the body of a 400.
      if (status === 500 && sample.code === 400) continue;
      expect(sample.code).to.equal(status);
      expect(examplesOf(operation, status)).to.deep.include(sample);
    }
  });
});
