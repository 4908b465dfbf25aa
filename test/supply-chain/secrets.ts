import { lintSource } from "@secretlint/core";
import { creator } from "@secretlint/secretlint-rule-preset-recommend";

const preset = {
  id: "@secretlint/secretlint-rule-preset-recommend",
  rule: creator,
  rules: [
    { id: "@secretlint/secretlint-rule-aws", options: { enableIDScanRule: true } },
    // The passwords of the tests that look for one in messages, and that decode one.
    {
      id: "@secretlint/secretlint-rule-database-connection-string",
      options: { allows: ["/:hunter2@/", "/:p%40ss@/"] },
    },
  ],
};

/** What the preset does not know: signed tokens (RFC 7519), and private keys as short as those of EdDSA (RFC 7468). */
const further = {
  "a token": /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}/g,
  "a private key": /-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[\w+/=]{20,}/g,
};

/** Describes every secret in a file: keys, tokens, URLs with passwords. */
export async function secretsIn(path: string, content: string): Promise<string[]> {
  const { messages } = await lintSource({
    source: { content, filePath: path, ext: path.slice(path.lastIndexOf(".")), contentType: "text" },
    options: { config: { rules: [preset] }, maskSecrets: true },
  });
  return [
    ...messages.map(({ message }) => `${path}: ${message}`),
    ...Object.entries(further).flatMap(([what, pattern]) =>
      Array.from(content.matchAll(pattern), ({ index }) => `${path}: ${what} at ${index}`),
    ),
  ];
}
