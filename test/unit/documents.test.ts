import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Code } from "@connectrpc/connect";
import { expect } from "chai";
import { ErrorReasonSchema } from "../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { toConnectError } from "../../src/call/errors.ts";
import { statusOf } from "../../src/call/http-status.ts";
import { variableNames } from "../../src/config/config.ts";
import { type ErrorReason, errors, PrivacyError } from "../../src/domain/errors.ts";

const documents = ["*.md", "docs/**/*.md", "client/*.md", "examples/*/*.md"]
  .flatMap((pattern) => globSync(pattern))
  .map((path) => ({ path, text: readFileSync(path, "utf8") }));

const found = (pattern: RegExp) =>
  documents.flatMap(({ path, text }) =>
    [...text.matchAll(pattern)].map((match) => ({ document: path, name: match[1] ?? "" })),
  );

/** A path that is made, not kept. */
const isMade = (path: string) => /^(dist|build|node_modules|DATA_DIR)\//.test(path);
/** A path of somebody else's definitions, which are staged from packages. */
const isStaged = (path: string) => /^(buf|google)\//.test(path);
/** What gRPC calls one of Connect's codes. */
const grpcName = (code: string) =>
  code
    .replace(/(?<=[a-z])[A-Z]/g, "_$&")
    .toUpperCase()
    .replace(/^CANCELED$/, "CANCELLED");
const isMediaType = (text: string) => text.startsWith("application/");
/** A name of OpenTelemetry's. */
const isProtocol = (text: string) => text === "http/protobuf";

/** The fragment by which a heading is linked to. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, "")
    .replaceAll(" ", "-");

describe("the documents", () => {
  const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));

  it("name only scripts that exist", () => {
    const named = found(/npm run (?:-s )?([a-z:]+(?:-[a-z]+)*)/g);
    expect(named).to.have.length.above(10);
    expect(named.filter(({ name }) => !(name in scripts))).to.eql([]);
  });

  it("name every script that exists", () => {
    const named = found(/npm (?:run )?(?:-s )?([a-z:]+(?:-[a-z]+)*)/g).map(({ name }) => name);
    expect(named).to.include.members(Object.keys(scripts));
  });

  it("link to what exists", () => {
    const links = found(/\]\(([^)#]+)[^)]*\)/g).filter(({ name }) => !name.startsWith("https:"));
    expect(links).to.have.length.above(10);
    expect(links.filter(({ document, name }) => !existsSync(join(dirname(document), name)))).to.eql([]);
  });

  it("link to headings that exist", () => {
    const links = documents.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\(([^)#:]*)#([^)]+)\)/g)].map(([, target = "", heading]) => ({
        document: path,
        target: target === "" ? path : join(dirname(path), target),
        heading,
      })),
    );
    expect(links).to.have.length.above(5);
    const broken = links.filter(({ target, heading = "" }) => {
      const headings = [...readFileSync(target, "utf8").matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) => text);
      return !headings.map(anchorOf).includes(heading);
    });
    expect(broken).to.eql([]);
  });

  it("name files that exist, those of src with or without its name", () => {
    const paths = found(/`(\.?[\w-]+(?:\/[\w.-]+)+)\/?`/g).filter(
      ({ name }) => !isMade(name) && !isStaged(name) && !isMediaType(name) && !isProtocol(name),
    );
    expect(paths).to.have.length.above(50);
    const candidates = ({ document, name }: (typeof paths)[number]) => [
      name,
      `src/${name}`,
      `src/${name}.ts`,
      `proto/${name}`,
      ...(document.startsWith("examples/") ? [join(dirname(document), name)] : []),
    ];
    expect(paths.filter((path) => !candidates(path).some((file) => existsSync(file)))).to.eql([]);
  });

  it("name only variables that are read", () => {
    const byLibraries = ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS"];
    const byTests = ["TEST_DATABASE_URL", "PROPERTY_SEED", "RACE_SEED"];
    const example = readFileSync("examples/feed/src/main.ts", "utf8");
    const byExample = [...example.matchAll(/(?:env\.|required\(")([A-Z_]+)/g)].map(([, name]) => name);
    const known = [...variableNames, ...byLibraries, ...byTests, ...byExample];
    const others = [...Object.keys(errors), ...Object.keys(Code).map(grpcName)];
    const named = found(/`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`/g).filter(({ name }) => !others.includes(name));
    expect(named).to.have.length.above(20);
    expect(named.filter(({ name }) => !known.includes(name))).to.eql([]);
  });
});

describe("the words of documents and comments", () => {
  const comments = globSync(["src/**/*.ts", "proto/**/*.proto"]).map((path) => ({
    path,
    text: (readFileSync(path, "utf8").match(/^\s*(?:\/\/|\/?\*).*$/gm) ?? []).join("\n"),
  }));

  /** Idioms that a reader cannot look up, and that once were everywhere. */
  const dropped = [
    /\bin vain\b/i,
    /\bas such\b/i,
    /\bsen[dt]s? away\b/i,
    /\bpatience\b/i,
    /\buntold\b/i,
    /\bat the door\b/i,
    /\bfloors?\b/i,
    /\bfor company\b/i,
    /\bmend(?:s|ed)?\b/i,
    /(?:^|[.;:*/] )Who (?:is|has|comes|goes|asks|calls|takes|sends|waits)\b/,
  ];
  const idioms = (text: string) => dropped.flatMap((pattern) => pattern.exec(text)?.[0] ?? []);

  it("are plain", () => {
    const used = [...documents, ...comments].flatMap(({ path, text }) =>
      idioms(text).map((idiom) => `${path}: ${idiom}`),
    );
    expect(used).to.eql([]);
  });

  it("are checked: an idiom is found", () => {
    expect(idioms("Who is signed out waits in vain.")).to.eql(["in vain", "Who is"]);
  });
});

describe("docs/errors.md", () => {
  const rows = found(/^\| (`[A-Z_]+` \|.*) \|$/gm)
    .filter(({ document }) => document === "docs/errors.md")
    .map(({ name }) => name.replaceAll("`", "").split(" | "));

  it("lists every reason of the definition, and no other", () => {
    const reasons = ErrorReasonSchema.values.filter(({ number }) => number !== 0);
    expect(rows.map(([reason]) => `ERROR_REASON_${reason}`)).to.have.members(reasons.map(({ name }) => name));
  });

  for (const reason of Object.keys(errors) as ErrorReason[]) {
    it(`gives the code, status and message of ${reason}`, () => {
      const error = toConnectError(new PrivacyError(reason));
      expect(rows.filter(([listed]) => listed === reason)).to.eql([
        [reason, grpcName(Code[error.code] ?? ""), String(statusOf(error)), error.rawMessage],
      ]);
    });
  }
});
