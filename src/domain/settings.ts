/** What a user chooses an audience for, by the documented words. */
export const privacySettings = ["last_seen", "profile_picture", "status", "read_receipts", "groups"] as const;
export type PrivacySetting = (typeof privacySettings)[number];

/** Whom a setting lets in, by the documented words. */
export const audiences = ["all", "contacts", "contact_blacklist", "none"] as const;
export type Audience = (typeof audiences)[number];

/** The audience of a setting that the user never chose. */
export const defaultAudience: Audience = "all";
