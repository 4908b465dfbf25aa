/** The header that names a request, and the failed call in the log. */
export const requestIdHeader = "x-request-id";

/** The header in which a service names the user for whom it acts. */
export const actingUserHeader = "x-acting-user";

/** The header by which a caller may repeat a call without a second effect. */
export const idempotencyKeyHeader = "idempotency-key";

/** The response header of a change that carries its consistency token. */
export const consistencyTokenHeader = "consistency-token";

/** The `domain` of every `google.rpc.ErrorInfo` (AIP-193). */
export const errorDomain = "privacy.nexgate.com";
