// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Certificate, IPlans, Plan} from "../IProtocol.sol";
import {NeedTree} from "./NeedTree.sol";

/// @title What of a plan can be shown to be wrong
/// @notice A part of `Plans` that EIP-170 leaves no room for there, linked to it. Each function reverts unless the plan is
/// wrong: an honest plan can never be accused. `Plans` has made sure that plan and certificate are those that were posted.
library Refutations {
    /// @notice See IPlans.refuteRoot.
    function requireWrongRoot(Plan calldata plan, Certificate calldata certificate) external pure {
        require(NeedTree.rootOf(certificate) != plan.root, IPlans.RootHolds(plan.site, plan.interval));
    }
}
