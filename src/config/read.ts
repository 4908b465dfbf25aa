import { customCleanEnv, EnvMissingError, type ValidatorSpec } from "envalid";

/** The environment cannot be used; the message names every variable at fault and never repeats a value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Reads the variables of the given names; an empty one counts as unset. What is wrong is told in `problems`. */
export function readVariables<const Specs extends Record<string, ValidatorSpec<unknown>>>(
  environment: NodeJS.ProcessEnv,
  specs: Specs,
) {
  const problems: string[] = [];
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  // The plain customCleanEnv: the usual one wraps its result in a proxy that throws for what failed to parse.
  const env = customCleanEnv(set, specs, (cleaned) => cleaned, {
    reporter: ({ errors }) => {
      for (const [name, error] of Object.entries(errors)) {
        problems.push(`${name} ${error instanceof EnvMissingError ? "is missing" : error?.message}`);
      }
    },
  });
  return { env, problems };
}

/** Throws a `ConfigError` that tells all the problems, if there are any. */
export function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
}
