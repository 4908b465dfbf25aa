import { expect } from "chai";
import fc from "fast-check";
import type { UserId } from "../../../src/domain/users.ts";
import { fromEdgeRecord } from "../../../src/service/convert.ts";

const user = {
  id: "a11ce000-0000-4000-8000-000000000001" as UserId,
  userName: "alice",
  firstName: "",
  lastName: "",
  profilePictureUrls: [],
  isVerified: false,
};

describe("the time of a record", () => {
  it("is a legal Timestamp, before 1970 too", () => {
    const micros = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n });
    fc.assert(
      fc.property(micros, (createdAt) => {
        const { seconds = 0n, nanos = 0 } = fromEdgeRecord({ id: user.id, user, createdAt }).createdAt ?? {};
        expect(nanos).to.be.within(0, 999_999_999);
        expect(BigInt(seconds) * 1_000_000n + BigInt(nanos) / 1_000n).to.equal(createdAt);
      }),
      { examples: [[-500_000n], [-1n], [0n]] },
    );
  });
});
