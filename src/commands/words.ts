import { Audience, MuteScope, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";

/** The values of an enum by their names in files, which are those of the REST API. */
export type Words<Value> = ReadonlyMap<string, Value>;

export const settingWords = wordsOf(PrivacySetting);
export const audienceWords = wordsOf(Audience);
export const scopeWords = wordsOf(MuteScope);

/** The values of an enum by their names in lower case, without the one that stands for no value. */
export function wordsOf<Value extends number>(values: Readonly<Record<string, Value>>): Words<Value> {
  const named = Object.entries(values).filter(([, value]) => value !== 0);
  return new Map(named.map(([name, value]) => [name.toLowerCase(), value]));
}

/** A value that this version of the command does not know. */
export class UnknownValueError extends Error {
  override readonly name = "UnknownValueError";
}

/** The word of a value. Throws an `UnknownValueError` for one that the service has and this version does not know. */
export function wordOf(words: Words<number>, value: number): string {
  for (const [word, known] of words) if (known === value) return word;
  throw new UnknownValueError(
    `The service is newer than this command: it sent ${value}, none of ${[...words.keys()].join(", ")}.`,
  );
}
