import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AccessService,
  type ExplainedEdgeSchema,
  type ExplainedFactsSchema,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { DatedTerms } from "../domain/edges.ts";
import { type ExplainedFacts, explainAccess } from "../domain/explanation.ts";
import { isInAudience, privacySettings } from "../domain/settings.ts";
import type { ExplainedFactsReader } from "../store/explanation.ts";
import { toDecisionMessage, toViewer } from "./access.ts";
import type { ConsistentReads } from "./consistent-reads.ts";
import { fromAudience, fromDatedTerms, fromMicros, fromSetting, toUserId } from "./proto-mapping.ts";

/** Explains decisions to those who run other services. */
export function explanationHandlers(
  reader: Pick<ExplainedFactsReader, "read">,
  reads: ConsistentReads,
): Pick<ServiceImpl<typeof AccessService>, "explainAccess"> {
  return {
    async explainAccess(request, { signal }) {
      const [viewer, owner] = [toViewer(request.viewer), toUserId(request.ownerId)];
      const { found: facts, consistencyToken } = await reads.read(
        request.consistency,
        () => reader.read(viewer, owner, signal),
        ({ state }) => [state],
        signal,
      );
      return {
        interactions: explainAccess(viewer, owner, facts).map(({ interaction, setting, ...decision }) => ({
          ...toDecisionMessage(decision),
          interaction: Interaction[interaction],
          setting: setting === null ? PrivacySetting.UNSPECIFIED : fromSetting(setting),
        })),
        facts: fromFacts(facts),
        consistencyToken,
      };
    },
  };
}

function fromFacts({
  settings,
  readAt,
  ...facts
}: ExplainedFacts): MessageInitShape<typeof ExplainedFactsSchema> {
  const contact = facts.contact !== null;
  return {
    viewerKnown: facts.viewerKnown,
    ownerKnown: facts.ownerKnown,
    ...edgeField("blocking", facts.blocking),
    ...edgeField("blockedBy", facts.blockedBy),
    ...edgeField("muting", facts.muting),
    ...edgeField("contact", facts.contact),
    settings: privacySettings.flatMap((name) => {
      if (settings === null) return [];
      const { audience, excepted } = settings[name];
      return {
        setting: fromSetting(name),
        audience: fromAudience(audience),
        excepted,
        includesViewer: isInAudience({ audience, contact, excepted }),
      };
    }),
    readAt: fromMicros(readAt),
  };
}

/** The field of an edge; none when there is no such edge. */
function edgeField<Name extends string>(
  name: Name,
  edge: DatedTerms | null,
): Partial<Record<Name, MessageInitShape<typeof ExplainedEdgeSchema>>> {
  if (edge === null) return {};
  const message = fromDatedTerms(edge);
  return { [name]: message } as Partial<Record<Name, typeof message>>;
}
