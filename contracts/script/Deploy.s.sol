// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Script, console} from "forge-std/Script.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import {Plans} from "../src/Plans.sol";
import {RegistryViews} from "../src/RegistryViews.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {Settlement} from "../src/Settlement.sol";
import {Amendments} from "../src/libraries/Amendments.sol";
import {Claims} from "../src/libraries/Claims.sol";
import {OcmfBills} from "../src/libraries/OcmfBills.sol";
import {Openings} from "../src/libraries/Openings.sol";
import {Refutations} from "../src/libraries/Refutations.sol";
import {Rewards} from "../src/libraries/Rewards.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";

/// @title Deploy
/// @notice Deploys everything by CREATE2 through the deterministic deployment proxy, to the same addresses as `provolt deploy`
/// with the same arguments, on every chain; what is there already is kept. Libraries are linked and deployed by Foundry, with
/// salt zero. `provolt deploy` run after it finds everything there, compares it with its build and writes the file of addresses.
///
///     forge script contracts/script/Deploy.s.sol --broadcast --rpc-url URL --account NAME --gas-estimate-multiplier 120
///
/// Arguments come from the environment, as those of `provolt deploy`: PROVOLT_CREDIT, PROVOLT_GUARDIAN,
/// PROVOLT_FEE_RECIPIENT, PROVOLT_FEE_BPS, PROVOLT_SALT (32 bytes), and PROVOLT_MINTER of a credit token of our own.
contract Deploy is Script {
    struct Arguments {
        bytes32 salt;
        address guardian;
        address feeRecipient;
        uint16 feeBps;
        address credit;
        address minter;
    }

    function run() external {
        Arguments memory arguments = _arguments();

        vm.startBroadcast();
        (RegistryViews views, Plans plans, Settlement settlement) = _deploy(arguments);
        vm.stopBroadcast();

        console.log("credit", settlement.credit());
        console.log("registry", address(plans.registry()));
        console.log("views", address(views));
        console.log("dispatch", address(plans.dispatch()));
        console.log("settlement", address(settlement));
        console.log("bookings", settlement.bookings());
        console.log("flexibility", settlement.flexibility());
        console.log("verifier", address(plans.defaultVerifier()));
        console.log("plans", address(plans));
        console.log("Amendments", address(Amendments));
        console.log("Claims", address(Claims));
        console.log("OcmfBills", address(OcmfBills));
        console.log("Openings", address(Openings));
        console.log("Refutations", address(Refutations));
        console.log("Rewards", address(Rewards));
    }

    function _arguments() private view returns (Arguments memory) {
        uint256 feeBps = vm.envOr("PROVOLT_FEE_BPS", uint256(0));
        require(feeBps <= type(uint16).max, "PROVOLT_FEE_BPS: too large");
        return Arguments({
            salt: vm.envOr("PROVOLT_SALT", bytes32(0)),
            guardian: vm.envOr("PROVOLT_GUARDIAN", msg.sender),
            feeRecipient: vm.envOr("PROVOLT_FEE_RECIPIENT", address(0)),
            feeBps: uint16(feeBps),
            credit: vm.envOr("PROVOLT_CREDIT", address(0)),
            minter: vm.envOr("PROVOLT_MINTER", msg.sender)
        });
    }

    function _deploy(Arguments memory a) private returns (RegistryViews views, Plans plans, Settlement settlement) {
        IERC20 credit = IERC20(a.credit);
        if (a.credit == address(0)) {
            credit = IERC20(_make(a.salt, type(CreditToken).creationCode, abi.encode(a.minter)));
        }
        AssetRegistry registry = AssetRegistry(
            _make(a.salt, type(AssetRegistry).creationCode, abi.encode(a.guardian, a.feeRecipient, a.feeBps))
        );
        views = RegistryViews(_make(a.salt, type(RegistryViews).creationCode, abi.encode(registry)));
        address verifier = _make(a.salt, type(ScheduleVerifier).creationCode, abi.encode(registry.dispatch()));
        plans = Plans(_make(a.salt, type(Plans).creationCode, abi.encode(registry, credit, verifier)));
        settlement = Settlement(_make(a.salt, type(Settlement).creationCode, abi.encode(registry, credit, plans)));
    }

    /// @dev The proxy's own call, so that what is there already is not an error.
    function _make(bytes32 salt, bytes memory creationCode, bytes memory arguments) private returns (address made) {
        bytes memory code = bytes.concat(creationCode, arguments);
        made = vm.computeCreate2Address(salt, keccak256(code), CREATE2_FACTORY);
        if (made.code.length > 0) return made;
        (bool success,) = CREATE2_FACTORY.call(bytes.concat(salt, code));
        require(success && made.code.length > 0, "the deterministic deployment proxy did not deploy");
    }
}
