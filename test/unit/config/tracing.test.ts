import { expect } from "chai";
import { effectiveVariables, readConfig } from "../../../src/config/config.ts";
import { ignoredValues } from "../../../src/config/tracing.ts";

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
const tracing = (environment: Record<string, string>) => readConfig({ ...endpoint, ...environment }).tracing;

describe("OpenTelemetry's variables, as its specification says,", () => {
  for (const value of ["true", "True", "TRUE", "tRuE"])
    it(`switch traces off by OTEL_SDK_DISABLED=${value}`, () => {
      expect(tracing({ OTEL_SDK_DISABLED: value })).to.equal(undefined);
      expect(ignoredValues({ OTEL_SDK_DISABLED: value })).to.eql([]);
    });

  for (const [value, isKnown] of [
    ["false", true],
    ["False", true],
    ["", true],
    ["1", false],
    ["yes", false],
  ] as const)
    it(`do not switch traces off by OTEL_SDK_DISABLED=${value}`, () => {
      expect(tracing({ OTEL_SDK_DISABLED: value })).to.be.an("object");
      expect(ignoredValues({ OTEL_SDK_DISABLED: value })).to.have.length(isKnown ? 0 : 1);
    });

  for (const value of ["none", "None"])
    it(`switch traces off by OTEL_TRACES_EXPORTER=${value}`, () => {
      expect(tracing({ OTEL_TRACES_EXPORTER: value })).to.equal(undefined);
      expect(ignoredValues({ OTEL_TRACES_EXPORTER: value })).to.eql([]);
    });

  for (const value of ["zipkin", "console", "otlp,console", "jaeger"])
    it(`name the exporter ${value}, which is not supported, and use OTLP`, () => {
      expect(tracing({ OTEL_TRACES_EXPORTER: value })).to.be.an("object");
      expect(ignoredValues({ OTEL_TRACES_EXPORTER: value })).to.eql([
        { name: "OTEL_TRACES_EXPORTER", value, used: "otlp" },
      ]);
    });

  it("accept samplers in upper and lower case", () => {
    expect(tracing({ OTEL_TRACES_SAMPLER: "Always_Off" })?.sampler).to.equal("always_off");
  });

  for (const value of ["jaeger_remote", "xray", "parentbased_jaeger_remote", "nonsense"])
    it(`ignore the sampler ${value}, with a warning`, () => {
      expect(tracing({ OTEL_TRACES_SAMPLER: value })?.sampler).to.equal("parentbased_always_on");
      expect(ignoredValues({ OTEL_TRACES_SAMPLER: value })).to.eql([
        { name: "OTEL_TRACES_SAMPLER", value, used: "parentbased_always_on" },
      ]);
      expect(effectiveVariables({ OTEL_TRACES_SAMPLER: value }).OTEL_TRACES_SAMPLER).to.equal(
        "parentbased_always_on",
      );
    });

  for (const value of ["2", "-0.1", "half", "NaN", " "])
    it(`ignore the share ${JSON.stringify(value)}, with a warning`, () => {
      expect(tracing({ OTEL_TRACES_SAMPLER_ARG: value })?.ratio).to.equal(1);
      expect(ignoredValues({ OTEL_TRACES_SAMPLER_ARG: value })).to.have.length(1);
    });

  it("name a protocol of OTLP that is not supported", () => {
    for (const name of ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]) {
      expect(ignoredValues({ [name]: "http/protobuf" })).to.eql([]);
      expect(ignoredValues({ [name]: "grpc" })).to.eql([{ name, value: "grpc", used: "http/protobuf" }]);
    }
  });

  it("count as unset when they are empty", () => {
    const empty = {
      OTEL_SDK_DISABLED: "",
      OTEL_TRACES_EXPORTER: "",
      OTEL_TRACES_SAMPLER: "",
      OTEL_TRACES_SAMPLER_ARG: "",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "",
      OTEL_EXPORTER_OTLP_PROTOCOL: "",
    };
    expect(tracing(empty)).to.eql(tracing({}));
    expect(ignoredValues(empty)).to.eql([]);
    expect(readConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }).tracing).to.equal(undefined);
  });
});
