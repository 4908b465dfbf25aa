import {
  create,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
} from "@bufbuild/protobuf";
import { example } from "../../../gen/nexgate/rest/v1/documentation_pb.ts";
import { validate } from "../../call/validate.ts";
import { fieldOf } from "../binding.ts";
import { isJsonObject, type JsonObject, messageReader } from "../json-reader.ts";
import type { Route } from "../routes.ts";

/** The fields of the example request of a method. Throws when its JSON does not fit the request message. */
export function exampleRequest({ input }: { input: DescMessage }, json: string): JsonObject {
  const fields = parseObject(json === "" ? "{}" : json);
  const message = create(input);
  messageReader(input)(fields, "", message);
  if (json !== "") validate(input, message);
  return fields;
}

/** The whole answer of a call that went well, rendered as any other; undefined when its data has no example. */
export function exampleReply(route: Route, time: string): unknown {
  const { format, reply, rule, endpoint, writeData } = route;
  if (writeData === undefined) return JSON.parse(format.withoutData(reply.successMessage, time));
  const responseField = fieldOf(endpoint.method.output, rule.responseBody);
  const examples = examplesOf(responseField);
  if (examples.length === 0) return undefined;
  const message = create(endpoint.method.output);
  const value = responseField.fieldKind === "list" ? examples : examples[0];
  Object.assign(message, { [responseField.localName]: value });
  return JSON.parse(`${format.beforeData(reply.successMessage, time)}${writeData(message)}}`);
}

/** The examples of the message that a field holds. Throws when their JSON does not fit it. */
function examplesOf({ message: desc }: DescField): Message[] {
  if (desc === undefined || !hasOption(desc, example)) return [];
  return getOption(desc, example).map((json) => {
    const message = create(desc);
    messageReader(desc)(parseObject(json), "", message);
    validate(desc, message);
    return message;
  });
}

function parseObject(json: string): JsonObject {
  const value: unknown = JSON.parse(json);
  if (!isJsonObject(value)) throw new Error(`the example ${json} is no JSON object`);
  return value;
}
