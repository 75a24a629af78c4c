// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {Handler} from "./Handler.sol";
import {Test} from "./SiteTest.sol";

/// @notice The protocol's laws, after any sequence of users' actions.
abstract contract InvariantTest is Test {
    Handler internal handler;

    function setUp() public virtual {
        handler = new Handler();
        handler.setUp();
        targetSelector(FuzzSelector(address(handler), _actions()));
        targetContract(address(handler));
    }

    function _actions() internal view virtual returns (bytes4[] memory);

    /// @dev One function, because a run of its own for every law would find the same and take five times as long.
    function invariant_laws() public view {
        if (!handler.changed()) return;
        handler.requireMoney();
        handler.requireSessions();
        handler.requireBookings();
        handler.requirePools();
        handler.requireIntervals();
    }
}

/// @notice All within one second.
contract StandingInvariantTest is InvariantTest {
    function _actions() internal view override returns (bytes4[] memory) {
        return handler.actions();
    }
}

/// @notice With time passing between the actions.
contract MovingInvariantTest is InvariantTest {
    function _actions() internal view override returns (bytes4[] memory) {
        return handler.movingActions();
    }
}

/// @notice The laws would hold for nothing if the handler never got anywhere.
contract HandlerTest is Test {
    uint256 private constant RUNS = 120;
    /// @dev Longer runs than those of the laws, so that fewer do.
    uint256 private constant ACTIONS = 150;
    uint256 private constant ACTS = 37;
    uint256 private constant REFUSALS = 43;

    Handler private handler;

    function setUp() public {
        handler = new Handler();
        handler.setUp();
    }

    function test_handlerReachesBothVerdictsOfEveryAct() public {
        // Thousands of actions come to more gas than a test may use.
        vm.pauseGasMetering();
        uint256[ACTS] memory accepted;
        uint256[REFUSALS] memory refused;
        bytes4[] memory acts = _acts();
        bytes4[] memory refusals = _refusals();
        uint256 begin = vm.snapshotState();
        for (uint256 run; run < RUNS; ++run) {
            for (uint256 i; i < ACTIONS; ++i) {
                _act(uint256(keccak256(abi.encode(run, i))));
            }
            for (uint256 i; i < ACTS; ++i) {
                accepted[i] += handler.accepted(acts[i]);
            }
            for (uint256 i; i < REFUSALS; ++i) {
                refused[i] += handler.refused(refusals[i]);
            }
            vm.revertToState(begin);
        }
        for (uint256 i; i < ACTS; ++i) {
            assertGt(accepted[i], 0, string.concat("accepted ", vm.toString(abi.encodePacked(acts[i]))));
        }
        for (uint256 i; i < REFUSALS; ++i) {
            assertGt(refused[i], 0, string.concat("refused ", vm.toString(abi.encodePacked(refusals[i]))));
        }
    }

    function _act(uint256 seed) private {
        bytes4[] memory actions = handler.movingActions();
        bytes4 action = actions[seed % actions.length];
        (uint256 a, uint256 b) = (uint256(keccak256(abi.encode(seed))), uint256(keccak256(abi.encode(seed, 1))));
        uint256 c = uint256(keccak256(abi.encode(seed, 2)));
        (bool success, bytes memory answer) =
            address(handler).call(abi.encodeWithSelector(action, a, b, c, a ^ c, b ^ c));
        assertTrue(success, string(answer));
    }

    function _acts() private pure returns (bytes4[] memory acts) {
        acts = new bytes4[](ACTS);
        (acts[0], acts[1], acts[2]) =
        (ISettlement.deposit.selector, ISettlement.withdraw.selector, ISettlement.withdrawFor.selector);
        (acts[3], acts[4], acts[5]) =
        (ISettlement.migrate.selector, ISettlement.openSession.selector, ISettlement.settle.selector);
        (acts[6], acts[7], acts[8]) =
        (ISettlement.amendFor.selector, ISettlement.keepOpen.selector, ISettlement.reclaim.selector);
        (acts[9], acts[10], acts[11]) =
        (ISettlement.dispute.selector, ISettlement.claim.selector, ISettlement.claimFlexibility.selector);
        (acts[12], acts[13], acts[14]) =
        (ISettlement.mintReward.selector, IFlexibilityToken.fund.selector, IFlexibilityToken.setRate.selector);
        (acts[15], acts[16], acts[17]) =
        (IFlexibilityToken.takeSurplus.selector, IFlexibilityToken.redeem.selector, IBookings.book.selector);
        (acts[18], acts[19], acts[20]) =
        (IBookings.bookFor.selector, IBookings.cancel.selector, IBookings.cancelFor.selector);
        (acts[21], acts[22], acts[23]) =
        (IBookings.noShow.selector, IBookings.blockIntervals.selector, IBookings.unblockIntervals.selector);
        (acts[24], acts[25], acts[26]) =
        (IBookings.setTerms.selector, IBookings.setPrices.selector, IAssetRegistry.setTariff.selector);
        (acts[27], acts[28], acts[29]) =
        (IAssetRegistry.setAccess.selector, IAssetRegistry.setMeter.selector, IAssetRegistry.setStatus.selector);
        (acts[30], acts[31], acts[32]) =
        (IAssetRegistry.removeAsset.selector, IAssetRegistry.setPaused.selector, IAssetRegistry.acceptOwner.selector);
        (acts[33], acts[34], acts[35]) =
        (IDispatch.postSetpoints.selector, IDispatch.postReadings.selector, IAssetRegistry.setGroupLimits.selector);
        acts[36] = ISettlement.disputeReward.selector;
    }

    function _refusals() private pure returns (bytes4[] memory refusals) {
        refusals = new bytes4[](REFUSALS);
        (refusals[0], refusals[1], refusals[2]) =
        (
            ISettlement.InsufficientBalance.selector,
            ISettlement.SignatureExpired.selector,
            ISettlement.BadSignature.selector
        );
        (refusals[3], refusals[4], refusals[5]) =
        (ISettlement.NonceUsed.selector, ISettlement.Paused.selector, ISettlement.EvseUnavailable.selector);
        (refusals[6], refusals[7], refusals[8]) =
        (ISettlement.NotAdmitted.selector, ISettlement.MeterChanged.selector, ISettlement.TariffChanged.selector);
        (refusals[9], refusals[10], refusals[11]) =
        (ISettlement.PriceAboveCeiling.selector, ISettlement.AmountTooLarge.selector, ISettlement.BadDeparture.selector);
        (refusals[12], refusals[13], refusals[14]) =
        (ISettlement.EvseBusy.selector, IBookings.IntervalTaken.selector, ISettlement.NotAuthorised.selector);
        (refusals[15], refusals[16], refusals[17]) =
        (ISettlement.WrongState.selector, ISettlement.TermsMismatch.selector, ISettlement.BadReadingCount.selector);
        (refusals[18], refusals[19], refusals[20]) =
        (ISettlement.WrongMeter.selector, ISettlement.CounterBackwards.selector, ISettlement.RegisterBackwards.selector);
        (refusals[21], refusals[22], refusals[23]) =
        (ISettlement.OutsideSession.selector, ISettlement.NotLater.selector, ISettlement.TooSoonToReclaim.selector);
        (refusals[24], refusals[25], refusals[26]) =
        (
            ISettlement.DisputeWindowOver.selector,
            ISettlement.NoContradiction.selector,
            ISettlement.NothingToClaim.selector
        );
        (refusals[27], refusals[28], refusals[29]) =
        (ISettlement.TooMuchFlexibility.selector, ISettlement.NotCertified.selector, ISettlement.WrongReward.selector);
        (refusals[30], refusals[31], refusals[32]) =
        (ISettlement.DisputeWindowOpen.selector, IBookings.NoBooking.selector, IBookings.NotBooker.selector);
        (refusals[33], refusals[34], refusals[35]) =
        (IBookings.TooSoonForNoShow.selector, IBookings.TooLateToCancel.selector, IBookings.AlreadyCheckedIn.selector);
        (refusals[36], refusals[37], refusals[38]) =
        (IDispatch.ImportLimitExceeded.selector, IDispatch.ExportLimitExceeded.selector, IDispatch.WrongSign.selector);
        (refusals[39], refusals[40], refusals[41]) =
        (IDispatch.RatingExceeded.selector, IDispatch.AlreadyDispatched.selector, IDispatch.AlreadyMetered.selector);
        refusals[42] = ISettlement.WrongReadingCount.selector;
    }
}
