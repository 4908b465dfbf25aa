import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { expect } from "chai";
import { frame } from "../../support/raw-http.ts";

const calls = 15_000;
const atOnce = 16;

describe("what a gRPC call leaves behind", () => {
  it("is less than by V8 alone", async () => {
    const [young, alone] = [await bytesLeft("young"), await bytesLeft("alone")];
    // By a quarter, as a rule.
    expect(young).to.be.below(alone * 0.88);
  }).timeout(120_000);
});

/** How many bytes a call leaves to a full collection. */
async function bytesLeft(how: string): Promise<number> {
  const script = new URL("./processes/left-behind.ts", import.meta.url);
  // Nothing is collected as a whole before the heap has grown to this.
  const server = fork(script, [how], { execArgv: ["--expose-gc", "--initial-old-space-size=1000"] });
  const [url] = await once(server, "message");
  const session = connect(url as string);
  // The first make V8 compile what is called often, with what it has learned of it.
  await callOften(session);
  const before = await usedBytes(server);
  await callOften(session);
  const used = (await usedBytes(server)) - before;
  session.close();
  server.disconnect();
  return used / calls;
}

async function usedBytes(server: ChildProcess): Promise<number> {
  const answer = once(server, "message");
  server.send("how many?");
  const [bytes] = await answer;
  return bytes as number;
}

async function callOften(session: ClientHttp2Session): Promise<void> {
  let left = calls;
  const callInTurn = async () => {
    while (left-- > 0) await call(session);
  };
  await Promise.all(Array.from({ length: atOnce }, callInTurn));
}

function call(session: ClientHttp2Session): Promise<void> {
  const stream = session.request({
    ":method": "POST",
    ":path": "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.resume().end(frame(Buffer.alloc(0)));
  return new Promise((resolve, reject) => {
    stream.once("error", reject).once("close", resolve);
  });
}
