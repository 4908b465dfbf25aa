import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect } from "chai";
import { canMakeCertificates, makeAuthority, type TestAuthority } from "../../support/certificates.ts";
import { type RunningScript, runFile, runScript } from "../../support/process.ts";
import { shellLines } from "../../support/start-text.ts";

describe("npm start with TLS", function () {
  this.timeout(60_000);
  let authority: TestAuthority;
  let folder: string;
  let environment: Record<string, string>;
  const running: RunningScript[] = [];
  before(function () {
    if (!canMakeCertificates) return this.skip();
    authority = makeAuthority("An authority");
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
    const { cert, key } = authority.sign("server");
    writeFileSync(join(folder, "tls.crt"), cert + authority.cert);
    writeFileSync(join(folder, "tls.key"), key);
    environment = {
      DATA_DIR: join(folder, "data"),
      HTTP_PORT: "0",
      GRPC_PORT: "0",
      ADMIN_PORT: "0",
      TLS_CERT_FILE: join(folder, "tls.crt"),
      TLS_KEY_FILE: join(folder, "tls.key"),
    };
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((script) => script.stop("SIGKILL")));
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const run = (name: string, more: Record<string, string> = {}, args: string[] = []) => {
    const script = runScript(name, { ...environment, ...more }, args);
    running.push(script);
    return script;
  };

  it("prints commands that can be pasted, and uses a new certificate after SIGHUP", async () => {
    const start = runFile("src/main.ts", environment);
    running.push(start);
    const text = await start.sees(/npm run token -- --service/);
    const { commands, paste } = shellLines(text);
    const [block = "", _blocked, check = ""] = commands.slice(-3);
    expect(JSON.parse(paste(block)).message).to.equal("User blocked successfully");
    expect(JSON.parse(paste(check))).to.include({ effect: "EFFECT_DENY", cause: "CAUSE_BLOCKING" });

    const { cert, key } = authority.sign("renewed");
    writeFileSync(join(folder, "tls.crt"), cert + authority.cert);
    writeFileSync(join(folder, "tls.key"), key);
    const isRenewed = start.sees(/CN=renewed/);
    start.child.kill("SIGHUP");
    await isRenewed;
    const port = Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1]);
    const socket = connect({ port, ca: authority.cert });
    await once(socket, "secureConnect");
    expect(socket.getPeerCertificate().subject.CN).to.equal("renewed");
    socket.destroy();
    expect(await start.stop()).to.equal(0);
  });

  it("serves imports that trust it, and that present a certificate where it requires one", async () => {
    const start = run("start", { TLS_CLIENT_CA_FILE: authority.certFile });
    const url = /gRPC for services\s+(https:\S+)/.exec(await start.sees(/gRPC for services/))?.[1] ?? "";
    const client = authority.sign("importer");
    const file = join(folder, "users.ndjson");
    const user = { type: "user", id: "00000000-0000-4000-8000-000000000001", userName: "someone" };
    writeFileSync(file, JSON.stringify(user));
    const attempt = async (...args: string[]) => {
      const script = run("import", {}, [file, "--url", url, ...args]);
      return [await script.exited, script.output()] as const;
    };
    const proof = ["--cert-file", client.certFile, "--key-file", client.keyFile];
    const [code, output] = await attempt("--ca-file", authority.certFile, ...proof);
    expect([code, output]).to.eql([0, output]);
    expect(output).to.contain("1 records: 1 stored");
    const plaintext = url.replace("https", "http");
    const wrong: [string[], RegExp][] = [
      [proof, /^The certificate of https:.* is not trusted: name who signed it with --ca-file\. \(\w+\)\n$/],
      [
        ["--ca-file", authority.certFile],
        /^https:.* demands a client certificate .*--cert-file and --key-file\./,
      ],
      [
        ["--url", plaintext],
        /^http:.* closed the connection: where the service speaks TLS, the URL begins with https/,
      ],
      [["--ca-file", file], /^.*users\.ndjson must hold PEM\.\n$/],
    ];
    const outcomes = await Promise.all(wrong.map(([args]) => attempt(...args)));
    for (const [n, [, message]] of wrong.entries()) {
      expect(outcomes[n]?.[1])
        .to.match(message)
        .and.not.to.match(/\n\s+at /);
      expect(outcomes[n]?.[0]).to.equal(1);
    }
  });

  it("reports what is wrong with the files, and does not start", async () => {
    writeFileSync(join(folder, "tls.key"), authority.key);
    const start = run("start");
    expect(await start.exited).to.equal(1);
    expect(start.output()).to.match(/^TLS_KEY_FILE holds another key .*$/m);
    expect(start.output()).not.to.match(/\n\s+at |PRIVATE/);
  });
});
