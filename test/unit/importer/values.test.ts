import { expect } from "chai";
import { readBoolean, readTime, ValueError } from "../../../src/importer/values.ts";

/** The moment in microseconds. */
function micros(value: unknown, assumeUtc = false): bigint | undefined {
  const time = readTime(value, assumeUtc);
  return time && time.seconds * 1_000_000n + BigInt(Math.trunc(time.nanos / 1_000));
}

const noon = 1_714_564_800_000_000n;

describe("the times of an import", () => {
  const read: readonly (readonly [unknown, bigint | undefined])[] = [
    ["2024-05-01T12:00:00Z", noon],
    ["2024-05-01t12:00:00z", noon],
    ["2024-05-01T14:30:00+02:30", noon],
    ["2024-05-01T10:00:00-02:00", noon],
    ["2024-05-01 12:00:00Z", noon],
    ["2024-05-01 12:00:00+00", noon],
    ["2024-05-01 14:00:00.5+02", noon + 500_000n],
    ["2024-05-01 12:00:00 UTC", noon],
    ["2024-05-01 12:00:00 +0000", noon],
    ["2024-05-01T12:00:00.123456Z", noon + 123_456n],
    ["2024-05-01T12:00:00.1234567891Z", noon + 123_456n],
    ["0001-01-01T00:00:00Z", -62_135_596_800_000_000n],
    ["2024-02-29T00:00:00Z", 1_709_164_800_000_000n],
    [1_714_564_800, noon],
    ["1714564800", noon],
    [1_714_564_800.5, noon + 500_000n],
    ["1714564800.000001", noon + 1n],
    [1_714_564_800_000, noon],
    ["1714564800123", noon + 123_000n],
    ["1714564800123.5", noon + 123_500n],
    ["", undefined],
    [" ", undefined],
  ];
  for (const [value, expected] of read)
    it(`reads ${JSON.stringify(value)}`, () => {
      expect(micros(value)).to.equal(expected);
    });

  const refused: readonly unknown[] = [
    ...["2024-05-01T12:00:00", "2024-05-01 12:00:00", "0000-00-00 00:00:00"],
    ...["2024-05-01", "01/05/2024", "May 1", "5", "yesterday", "20240501T120000Z", "2024-05-01T12:00Z"],
    ...["2024-13-01T00:00:00Z", "2024-02-31T00:00:00Z", "2023-02-29T00:00:00Z", "2024-05-01T24:00:00Z"],
    ...["2024-05-01T12:60:00Z", "2024-05-01T12:00:60Z", "2024-05-01T12:00:00+24:00"],
    ...[0, 5, -1_714_564_800, 99_999_999, 20_240_501, 4_102_444_800, 99_999_999_999],
    ...[4_102_444_800_000, 1_714_564_800_000_000, 20_240_501_120_000, 1e21, Number.NaN],
    ...[true, null, { seconds: 1_714_564_800 }, [1_714_564_800]],
  ];
  for (const value of refused)
    it(`rejects ${JSON.stringify(value)}`, () => {
      expect(() => readTime(value, false)).to.throw(ValueError);
    });

  it("are read as UTC without a zone only with assumeUtc", () => {
    expect(micros("2024-05-01 12:00:00", true)).to.equal(noon);
    expect(micros("2024-05-01T14:00:00+02:00", true)).to.equal(noon);
    for (const value of ["0000-00-00 00:00:00", "2024-05-01", "01/05/2024"])
      expect(() => readTime(value, true)).to.throw(ValueError);
  });

  it("does not depend on the time zone of the machine", () => {
    const { TZ } = process.env;
    process.env.TZ = "Pacific/Auckland";
    try {
      expect(micros("2024-05-01T12:00:00Z")).to.equal(noon);
      expect(() => readTime("2024-05-01T12:00:00", false)).to.throw(ValueError, /time zone/);
    } finally {
      if (TZ === undefined) delete process.env.TZ;
      else process.env.TZ = TZ;
    }
  });
});

describe("the booleans of an import", () => {
  const words: readonly (readonly [boolean | undefined, readonly unknown[]])[] = [
    [true, [true, 1, "true", "TRUE", "True", "t", "T", "1", "yes", "y", "on", " true "]],
    [false, [false, 0, "false", "FALSE", "f", "0", "no", "N", "off"]],
    [undefined, ["", " "]],
  ];
  for (const [expected, values] of words)
    it(`read ${values.map((value) => JSON.stringify(value)).join(", ")} as ${expected}`, () => {
      for (const value of values) expect(readBoolean(value), String(value)).to.equal(expected);
    });

  it("are rejected in any other spelling", () => {
    for (const value of ["maybe", "2", 2, -1, "tru", "truefalse", null, [], {}, ["true"]])
      expect(() => readBoolean(value), JSON.stringify(value)).to.throw(ValueError);
  });
});
