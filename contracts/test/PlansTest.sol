// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {Plans} from "../src/Plans.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {SiteTest} from "./SiteTest.sol";

/// @notice Says of every certificate what it was told.
contract VerifierDouble {
    enum Answer {
        Verdict,
        Refusal,
        Silence
    }

    Answer private _answer;
    int256 private _cost;
    int256 private _bound;
    bytes32 private _columnHash;

    function set(int256 cost, int256 bound, bytes32 columnHash) external {
        (_answer, _cost, _bound, _columnHash) = (Answer.Verdict, cost, bound, columnHash);
    }

    function refuse() external {
        _answer = Answer.Refusal;
    }

    /// @notice Ends from now on as a call does that has run out of gas.
    function beSilent() external {
        _answer = Answer.Silence;
    }

    function verify(bytes calldata inputs, bytes calldata, bytes calldata)
        external
        view
        returns (int256, int256, bytes32, bytes32)
    {
        if (_answer == Answer.Refusal) revert IScheduleVerifier.GroupExceeded(0);
        if (_answer == Answer.Silence) {
            assembly {
                revert(0, 0)
            }
        }
        return (_cost, _bound, keccak256(inputs), _columnHash);
    }
}

/// @notice Plans of the demo site, and who posts and challenges them. The site is dispatched through Plans alone.
abstract contract PlansTest is SiteTest {
    int256 internal constant UNITS = 40_000;
    int256 internal constant COST = 1e12;
    uint128 internal constant BOND = 5e6;
    uint64 internal constant TOLERANCE = 10_000;
    uint64 internal constant EPSILON = 50_000;
    uint32 internal constant NEXT = FIRST + 1;

    address internal minter = makeAddr("minter");
    address internal challenger = makeAddr("challenger");

    CreditToken internal credit;
    Plans internal plans;
    VerifierDouble internal verifier = new VerifierDouble();

    function setUp() public virtual override {
        super.setUp();
        credit = new CreditToken(minter);
        plans = new Plans(registry, IERC20(address(credit)), IScheduleVerifier(address(verifier)));
        vm.startPrank(owner);
        registry.setDelegate(SITE, oracle, RIGHT_PLAN, type(uint40).max);
        registry.setDelegate(SITE, address(plans), RIGHT_DISPATCH, type(uint40).max);
        vm.stopPrank();
        verifier.set(COST, COST, keccak256(_lanes()));
    }

    function _lanes() internal pure returns (bytes memory) {
        return new bytes(2 * LANES);
    }

    /// @dev Nothing is wanted, forecast or priced.
    function _certificate() internal pure returns (Certificate memory) {
        return Certificate(_inputs(), _schedule(), _multipliers(), _root());
    }

    /// @dev Two needs, each of one interval without power or price.
    function _root() internal pure returns (bytes32) {
        return _pair(_leaf(2, _need(2, 1, 2200)), _leaf(5, _need(5, 2, 2200)));
    }

    function _leaf(uint256 lane, bytes memory need) private pure returns (bytes32) {
        bytes memory hashes = abi.encode(lane, keccak256(need), keccak256(new bytes(2)), keccak256(new bytes(12)));
        return keccak256(bytes.concat(keccak256(hashes)));
    }

    function _pair(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// @dev The demo site over one interval, needs of nothing at lanes 2 and 5, in the form of docs/proof.md.
    function _inputs() internal pure returns (bytes memory) {
        bytes memory needs = bytes.concat(_need(2, 1, 2200), _need(5, 2, 2200));
        return _inputsOver(1, bytes.concat(_zeroPrices(), hex"08000000"), 2, needs);
    }

    /// @param prices Of import, and one of feed-in.
    function _inputsOver(uint8 intervals, bytes memory prices, uint16 count, bytes memory needs)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory head = abi.encodePacked(uint8(1), intervals, uint16(LANES), uint32(0x03020101));
        head = bytes.concat(head, abi.encodePacked(count, uint16(0), new bytes(16), uint8(1), prices), _groups());
        bytes memory loads = bytes.concat(_forecast(0, 0, intervals), _forecast(7, 2, intervals));
        bytes memory battery =
            abi.encodePacked(uint16(4), uint8(1), uint16(3000), uint32(95 << 16 | 105), new bytes(20));
        return bytes.concat(head, loads, needs, bytes.concat(_forecast(1, 0, intervals), battery));
    }

    function _groups() private pure returns (bytes memory) {
        return bytes.concat(
            abi.encodePacked(uint8(0), uint8(0), uint32(100_000), uint32(55_000)),
            abi.encodePacked(uint8(0), uint8(0), uint32(44_000), uint32(10_000)),
            abi.encodePacked(uint8(0), uint8(0), uint32(30_000), uint32(0))
        );
    }

    function _forecast(uint16 lane, uint8 group, uint8 intervals) private pure returns (bytes memory) {
        return abi.encodePacked(lane, group, new bytes(2 * uint256(intervals)));
    }

    function _need(uint16 lane, uint8 group, uint16 max) private pure returns (bytes memory) {
        return _needUntil(lane, group, 1, max, 0);
    }

    function _needUntil(uint16 lane, uint8 group, uint8 until, uint16 max, uint32 energyWh)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(lane, group, uint8(0), until, until, max, uint16(0), energyWh, uint16(100));
    }

    /// @dev Two needs, PV and battery over one interval.
    function _schedule() internal pure returns (bytes memory) {
        return new bytes(8);
    }

    /// @dev Prices of the root and of what is stored, of two needs, and two groups without any: all of them zero.
    function _multipliers() internal pure returns (bytes memory) {
        return bytes.concat(_zeroPrices(), _zeroPrices(), hex"0800000008000000", new bytes(2));
    }

    /// @dev A series over one interval, and its padding: a price has 2^27 added.
    function _zeroPrices() internal pure returns (bytes memory series) {
        series = new bytes(64);
        for (uint256 i; i < 16; ++i) {
            series[4 * i] = 0x08;
        }
    }

    function _rules(PlanMode mode) internal view returns (PlanRules memory) {
        return PlanRules({
            verifier: IScheduleVerifier(address(verifier)),
            mode: mode,
            tolerance: TOLERANCE,
            epsilon: EPSILON,
            bond: BOND,
            settlement: ISettlement(address(0)),
            terms: 0
        });
    }

    /// @dev The site's rules from the next interval on.
    function _setMode(PlanMode mode) internal {
        vm.prank(owner);
        plans.setRules(SITE, _rules(mode), NEXT);
    }

    function _fund(address account, uint256 amount) internal {
        vm.prank(minter);
        credit.mint(account, amount);
        vm.startPrank(account);
        credit.approve(address(plans), amount);
        plans.depositStake(amount);
        vm.stopPrank();
    }

    function _postProved(uint32 interval) internal returns (Plan memory) {
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, interval, _certificate(), _lanes());
        return _lastPlan();
    }

    function _postClaimed(uint32 interval) internal returns (Plan memory) {
        vm.recordLogs();
        vm.prank(oracle);
        plans.postClaimed(SITE, interval, _certificate(), _lanes(), COST, COST);
        return _lastPlan();
    }

    /// @dev A claimed plan of the next interval with its bond.
    function _claimed() internal returns (Plan memory) {
        _setMode(PlanMode.Optimistic);
        _fund(oracle, BOND);
        return _postClaimed(NEXT);
    }

    /// @dev A plan of the next interval that can be improved, with its bond.
    function _improvable() internal returns (Plan memory) {
        _setMode(PlanMode.Improved);
        _fund(oracle, BOND);
        return _postProved(NEXT);
    }

    function _lastPlan() internal returns (Plan memory plan) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == IPlans.PlanPosted.selector) plan = abi.decode(logs[i].data, (Plan));
        }
    }

    /// @dev First second at which a plan of `interval` can be challenged no more.
    function _until(uint32 interval) internal view returns (uint256) {
        return interval * INTERVAL_S + plans.CHALLENGE_WINDOW();
    }
}
