import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { printProto } from "./print-proto.ts";

const staged = "build/proto";

function copy(from: string, to: string): void {
  cpSync(join("node_modules", from), join(staged, to), { recursive: true });
}

rmSync(staged, { recursive: true, force: true });
for (const name of ["api/annotations", "api/http", "rpc/error_details", "rpc/status", "rpc/code"]) {
  copy(`google-proto-files/google/${name}.proto`, `google/${name}.proto`);
}
copy("@grpc/reflection/build/proto/grpc/reflection", "grpc/reflection");
copy("grpc-health-check/proto/health", "grpc/health");

// The npm package ships this file's descriptor, not its text.
const validate = file_buf_validate_validate.proto;
const path = join(staged, validate.name);
mkdirSync(dirname(path), { recursive: true });
writeFileSync(path, printProto(validate));
