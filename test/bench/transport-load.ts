import { connect } from "node:http2";

// Stands in for h2load: the same sessions and streams, as fast as Node can drive them.
const [url = "", sessions = "", streams = "", seconds = ""] = process.argv.slice(2);
const { origin, pathname } = new URL(url);
const headers = { ":method": "POST", ":path": pathname, "content-type": "application/grpc", te: "trailers" };
const emptyMessage = Buffer.alloc(5);
let finished = 0;

for (let index = 0; index < Number(sessions); index++) {
  const session = connect(origin);
  const call = () => {
    const stream = session.request(headers);
    stream.on("end", () => {
      finished += 1;
      call();
    });
    stream.resume();
    stream.end(emptyMessage);
  };
  for (let open = 0; open < Number(streams); open++) call();
}
setTimeout(() => {
  process.stdout.write(`finished in ${seconds}s, ${(finished / Number(seconds)).toFixed(2)} req/s\n`);
  process.exit();
}, Number(seconds) * 1_000);
