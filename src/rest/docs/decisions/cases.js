import { decideAccess, decisionTable, effects } from "./access.ts";
import { muteScopes } from "./changes.ts";
import { audiences, defaultAudience, privacySettings } from "./settings.ts";

/** What can be chosen: the name of each choice, and its values, of which the first is the default. */
export const choices = {
  viewer: ["user", "nobody", "self"],
  blocking: ["no", "yes"],
  blockedBy: ["no", "yes"],
  muting: ["no", ...Object.keys(muteScopes), "both"],
  mutedBy: ["no", "yes"],
  contact: ["no", "yes"],
  ...Object.fromEntries(
    privacySettings.flatMap((setting) => [
      [setting, [defaultAudience, ...audiences.filter((audience) => audience !== defaultAudience)]],
      [`${setting}_exception`, ["no", "yes"]],
    ]),
  ),
};

/** Reads a case from the fragment of an address: a value for every choice, the default where there is no known one. */
export function readCase(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  return Object.fromEntries(
    Object.entries(choices).map(([name, values]) => {
      const value = given.get(name);
      return [name, values.includes(value) ? value : values[0]];
    }),
  );
}

/** The fragment that leads to a case: what differs from the defaults. */
export function writeCase(chosen) {
  const different = Object.entries(chosen).filter(([name, value]) => value !== choices[name][0]);
  return new URLSearchParams(different).toString();
}

const viewers = { user: "viewer", nobody: null, self: "owner" };

const noFacts = {
  known: true,
  blocking: false,
  blockedBy: false,
  muting: false,
  audience: "all",
  contact: false,
  excepted: false,
};

/** What is stored of a viewer and an owner for an interaction. Nobody has records without being signed in. */
function factsOf(chosen, { audience: setting, muteScope }) {
  const audience = setting === null ? "all" : chosen[setting];
  if (chosen.viewer === "nobody") return { ...noFacts, audience };
  const scopes =
    chosen.muting === "both"
      ? Object.values(muteScopes).reduce((all, scope) => all | scope)
      : (muteScopes[chosen.muting] ?? 0);
  return {
    ...noFacts,
    blocking: chosen.blocking === "yes",
    blockedBy: chosen.blockedBy === "yes",
    muting: (scopes & muteScope) !== 0,
    audience,
    contact: chosen.contact === "yes",
    excepted: chosen[`${setting}_exception`] === "yes",
  };
}

/** The causes in their order. Of each: the facts of a case that it rests on, and facts with which it applies. */
const causes = {
  BLOCKING: { from: ({ blocking }) => ({ blocking }), applying: { blocking: true } },
  BLOCKED_BY: { from: ({ blockedBy }) => ({ blockedBy }), applying: { blockedBy: true } },
  AUDIENCE: {
    from: ({ audience, contact, excepted }) => ({ audience, contact, excepted }),
    applying: { audience: "none" },
  },
  MUTING: { from: ({ muting }) => ({ muting }), applying: { muting: true } },
  SIGNED_OUT: { from: () => ({}), applying: {} },
};

/**
 * Decides every interaction of a case: the decision, and for each cause the effect that it has in this case (`effect`)
 * and where it applies (`rule`). Everything is decided by the evaluator of the service.
 */
export function decideCase(chosen) {
  const viewer = viewers[chosen.viewer];
  return Object.entries(decisionTable).map(([interaction, rule]) => {
    const query = { viewer, owner: "owner", interaction };
    const facts = factsOf(chosen, rule);
    const effectOf = (from, only) => decideAccess({ ...query, viewer: from }, { ...noFacts, ...only }).effect;
    const alone = Object.entries(causes).map(([cause, { from, applying }]) => {
      const isSignedOut = cause === "SIGNED_OUT";
      return {
        cause,
        effect: effectOf(isSignedOut || viewer === "owner" ? viewer : "viewer", from(facts)),
        rule: effectOf(isSignedOut ? null : "viewer", applying),
      };
    });
    return { interaction, setting: rule.audience, decision: decideAccess(query, facts), alone };
  });
}

/** The causes other than the one that won which would have led to the same effect. */
export function tiesOf({ decision, alone }) {
  if (decision.effect === effects[0]) return [];
  return alone.filter(({ cause, effect }) => effect === decision.effect && cause !== decision.cause);
}

/** The causes that apply, but whose effect is weaker. */
export function weakerOf({ decision, alone }) {
  return alone.filter(
    ({ effect }) => effect !== effects[0] && effects.indexOf(effect) < effects.indexOf(decision.effect),
  );
}
