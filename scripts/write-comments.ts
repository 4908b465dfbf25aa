import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { getComments } from "@bufbuild/protoplugin";

const image = execFileSync("buf", ["build", "proto", "--output", "-"], { maxBuffer: 64 * 1024 * 1024 });
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));

const comments: Record<string, string> = {};
type Described = Parameters<typeof getComments>[0];

function add(name: string, desc: Described): void {
  const text = getComments(desc).leading?.replaceAll(/^ /gm, "").trim();
  if (text) comments[name] = text;
}

function addMembers({ typeName }: { typeName: string }, members: readonly (Described & { name: string })[]) {
  for (const member of members) add(`${typeName}.${member.name}`, member);
}

for (const file of registry.files) {
  if (!file.proto.package.startsWith("nexgate.")) continue;
  for (const desc of nestedTypes(file)) {
    if (desc.kind === "extension") continue;
    add(desc.typeName, desc);
    if (desc.kind === "message") addMembers(desc, desc.fields);
    if (desc.kind === "enum") addMembers(desc, desc.values);
    if (desc.kind === "service") addMembers(desc, desc.methods);
  }
}

writeFileSync(
  "gen/nexgate/comments.ts",
  `/** The comments of our definitions, by full name. Made by "npm run generate". */
export const comments: Readonly<Record<string, string>> = ${JSON.stringify(comments, undefined, 2)};
`,
);
