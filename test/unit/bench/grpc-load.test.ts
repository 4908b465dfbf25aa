import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { expect } from "chai";
import { type Call, packCalls } from "../../bench/load/exchanges.ts";
import { runGrpcLoad } from "../../bench/load/grpc-load.ts";
import type { GrpcJob } from "../../bench/load/job.ts";

type Handler = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;

const path = "/test.Service/Echo";
const identity = (bytes: Buffer) => bytes;

describe("the gRPC load of the benchmark", () => {
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-load-"));
  const callsFile = join(folder, "calls");
  let server: Server | undefined;
  afterEach(() => server?.forceShutdown());
  after(() => rmSync(folder, { recursive: true }));

  async function serve(handler: Handler): Promise<number> {
    server = new Server();
    const shape = { path, requestStream: false as const, responseStream: false as const };
    const codec = {
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    };
    server.addService({ echo: { ...shape, ...codec } }, { echo: handler });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
    return promise;
  }

  function load(port: number, calls: readonly Call[], options: Partial<GrpcJob> = {}) {
    writeFileSync(callsFile, packCalls(calls));
    const shape = { sessions: 2, streams: 4, rampMs: 0, ms: 5_000, once: true };
    return runGrpcLoad({
      url: `http://127.0.0.1:${port}`,
      path,
      headers: {},
      callsFile,
      ...shape,
      ...options,
    });
  }

  const echoed = (sizes: readonly number[]): Call[] =>
    sizes.map((size, i) => ({ request: Buffer.alloc(size, i), reply: Buffer.alloc(size, i) }));

  it("makes every call once, with messages of any size", async () => {
    const sizes = Array.from({ length: 300 }, (_, i) => (i * 997) % 60_000);
    const { total, wrong, rate } = await load(
      await serve(({ request }, answer) => answer(null, request)),
      echoed(sizes),
    );
    expect({ total, wrong }).to.eql({ total: 300, wrong: 0 });
    expect(rate).to.be.greaterThan(0);
  });

  it("makes the calls again and again until the time is over", async () => {
    const port = await serve(({ request }, answer) => answer(null, request));
    const { total, wrong } = await load(port, echoed([1, 2]), { once: false, ms: 200 });
    expect(total).to.be.greaterThan(2);
    expect(wrong).to.equal(0);
  });

  it("sends the headers of all calls, and those of single ones", async () => {
    const seen: string[] = [];
    const port = await serve(({ request, metadata }, answer) => {
      seen.push(`${metadata.get("authorization")} ${metadata.get("x-acting-user")}`);
      answer(null, request);
    });
    const long = `Bearer ${"x".repeat(300)}`;
    const calls = ["a", "b", ""].map((actor) => ({ actor, request: Buffer.of(), reply: undefined }));
    const { wrong } = await load(port, calls, { headers: { authorization: long }, sessions: 1, streams: 1 });
    expect(wrong).to.equal(0);
    expect(seen).to.eql([`${long} a`, `${long} b`, `${long} `]);
  });

  it("counts every answer that is not the right one", async () => {
    const port = await serve(({ request }, answer) =>
      answer(null, request[0] === 1 ? Buffer.of(9) : request),
    );
    const { wrong, example } = await load(port, echoed([1, 1, 1]));
    expect(wrong).to.equal(1);
    expect(example).to.equal("000000000109 instead of 000000000101");
  });

  it("lets an answer have a consistency token after the message", async () => {
    const port = await serve(({ request }, answer) =>
      answer(null, Buffer.concat([request, Buffer.of(0x1a, 1, 7)])),
    );
    expect((await load(port, echoed([1, 2]))).wrong).to.equal(0);
    server?.forceShutdown();
    const other = await serve(({ request }, answer) =>
      answer(null, Buffer.concat([request, Buffer.of(0x10, 5)])),
    );
    expect((await load(other, echoed([1, 2]))).wrong).to.equal(2);
  });

  it("counts failures, also where any message would do", async () => {
    const port = await serve((_call, answer) => answer({ code: status.INTERNAL }));
    const { total, wrong } = await load(port, [{ request: Buffer.of(1), reply: undefined }]);
    expect({ total, wrong }).to.eql({ total: 1, wrong: 1 });
  });

  it("counts calls whose connection breaks", async () => {
    const broken = createServer((socket) => socket.once("data", () => socket.destroy()));
    await new Promise<void>((resolve) => broken.listen(0, "127.0.0.1", resolve));
    const { port } = broken.address() as { port: number };
    const { wrong } = await load(port, echoed([1]), { sessions: 1, streams: 1 });
    expect(wrong).to.equal(1);
    broken.close();
  });
});
