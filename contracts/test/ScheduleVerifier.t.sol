// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {Test} from "./SiteTest.sol";

/// @notice One small certificate, worked out by hand, and everything that can be wrong with it. Three intervals; a car of
/// 150 steps in a group of its own needs 300 quanta; base load, sun and an idle battery at the grid connection. Import costs
/// 300, 100, 200, export earns 50. Best is 10 steps of sun first, then 150 and 140 steps.
contract ScheduleVerifierSmallTest is Test {
    IDispatch private constant DISPATCH = IDispatch(address(0xd15));
    bytes32 private constant SITE = keccak256("DE*ABC*S1");
    uint32 private constant FIRST = 2_000_000;
    uint32 private constant BIAS = 1 << 27;
    uint32 private constant OUT = 1 << 28;

    ScheduleVerifier private verifier = new ScheduleVerifier(DISPATCH);

    struct Draft {
        bytes header;
        bytes prices;
        bytes groups;
        bytes rows;
        bytes loads;
        bytes needs;
        bytes pvs;
        bytes batteries;
        bytes schedule;
        bytes lambda;
        bytes rho;
        bytes sigma;
        bytes mu;
        bytes rest; // flags and alphas
    }

    /// @dev Even intervals, then odd ones, each padded to a word.
    function _series(uint32 a, uint32 b, uint32 c, uint32 padding) private pure returns (bytes memory s) {
        s = abi.encodePacked(a, c, padding, padding, padding, padding, padding, padding);
        return abi.encodePacked(s, b, padding, padding, padding, padding, padding, padding, padding);
    }

    function _prices(uint32 a, uint32 b, uint32 c) private pure returns (bytes memory) {
        return _series(BIAS + a, BIAS + b, BIAS + c, BIAS);
    }

    /// @dev Peak: 100 W so far, 0 per kW, so that there are no prices of the peak.
    function _header(uint8 version, uint8 intervals, uint8 groups, uint16 needs, uint16 rows, uint32 peakPrice)
        private
        pure
        returns (bytes memory)
    {
        bytes memory counts = abi.encodePacked(version, intervals, uint16(4), groups, uint8(1), uint8(1), uint8(1));
        bytes memory money = abi.encodePacked(uint32(1_000), uint32(0), uint32(100), peakPrice, uint8(1));
        return abi.encodePacked(counts, needs, rows, money);
    }

    function _need(uint16 lane, uint8 group, uint24 window, uint16 max, uint16 least, uint32 energyWh)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(lane, group, window, max, least, energyWh, uint16(100));
    }

    function _battery(uint16 max, uint32 contentWh) private pure returns (bytes memory) {
        bytes memory sizes = abi.encodePacked(uint16(3), uint8(0), max, uint16(100), uint16(100), uint32(100));
        return abi.encodePacked(sizes, contentWh, uint32(0), int32(0), uint32(1_000));
    }

    function _group(uint8 parent, uint32 importW, uint32 exportW) private pure returns (bytes memory) {
        return abi.encodePacked(parent, uint8(0), importW, exportW);
    }

    function _cells(int16 a, int16 b, int16 c) private pure returns (bytes memory) {
        return abi.encodePacked(a, b, c);
    }

    function _schedule(bytes memory car, bytes memory sun, bytes memory battery) private pure returns (bytes memory) {
        return bytes.concat(car, sun, battery);
    }

    function _draft() private pure returns (Draft memory d) {
        d.header = _header(1, 3, 2, 1, 0, 0);
        d.prices = abi.encodePacked(_prices(300, 100, 200), BIAS + 50);
        d.groups = bytes.concat(_group(0, 10_000, 5_000), _group(0, 2_000, 0));
        d.loads = abi.encodePacked(uint16(1), uint8(0), _cells(10, 10, 10));
        d.needs = _need(0, 1, 0x000303, 150, 0, 750);
        d.pvs = abi.encodePacked(uint16(2), uint8(0), _cells(20, 20, 20));
        d.batteries = _battery(5, 0);
        d.schedule = _schedule(_cells(10, 150, 140), _cells(20, 20, 20), _cells(0, 0, 0));
        d.lambda = _prices(200, 100, 200);
        d.sigma = _prices(0, 0, 0);
        d.mu = abi.encodePacked(BIAS + 200);
        d.rest = hex"00";
    }

    function _inputs(Draft memory d) private pure returns (bytes memory) {
        return bytes.concat(bytes.concat(d.header, d.prices, d.groups, d.rows), d.loads, d.needs, d.pvs, d.batteries);
    }

    function _multipliers(Draft memory d) private pure returns (bytes memory) {
        return bytes.concat(d.lambda, d.rho, d.sigma, d.mu, d.rest);
    }

    function _verify(Draft memory d) private view returns (int256 cost, int256 bound, bytes32 column) {
        bytes memory inputs = _inputs(d);
        bytes32 inputsHash;
        (cost, bound, inputsHash, column) = verifier.verify(inputs, d.schedule, _multipliers(d));
        assertEq(inputsHash, keccak256(inputs), "hash of the inputs");
    }

    function _refused(Draft memory d, bytes memory error) private {
        bytes memory inputs = _inputs(d);
        bytes memory multipliers = _multipliers(d);
        vm.expectRevert(error);
        verifier.verify(inputs, d.schedule, multipliers);
    }

    function _err(bytes4 selector, uint256 a) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a);
    }

    function _err(bytes4 selector, uint256 a, uint256 b) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a, b);
    }

    function _err(bytes4 selector, uint256 a, uint256 b, uint256 c) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a, b, c);
    }

    // What it says

    function test_anOptimumIsProvenToTheUnit() public view {
        (int256 cost, int256 bound, bytes32 column) = _verify(_draft());
        assertEq(cost, 4_000_000);
        assertEq(bound, cost);
        assertEq(column, keccak256(abi.encodePacked(int16(10), int16(10), int16(-20), int16(0))));
    }

    function test_aWorseScheduleShowsItsGap() public view {
        Draft memory d = _draft();
        d.schedule = _schedule(_cells(0, 150, 150), _cells(20, 20, 20), _cells(0, 0, 0));
        (int256 cost, int256 bound,) = _verify(d);
        // 10 steps move from sun that earns 50 to import at 200.
        assertEq(cost, 4_150_000);
        assertEq(bound, 4_000_000);
    }

    function test_aShortfallIsPaidFor() public view {
        Draft memory d = _draft();
        d.schedule = _schedule(_cells(10, 150, 0), _cells(20, 20, 20), _cells(0, 0, 0));
        (int256 cost,,) = _verify(d);
        // 140 quanta at 1,000 instead of 130 at 200, and 10 of sun are sold at 50.
        assertEq(cost, 4_000_000 + 100 * (140 * 1_000 - 130 * 200 - 10 * 50));
    }

    function test_thePeakIsPaidForOnce() public view {
        Draft memory d = _draft();
        d.header = _header(1, 3, 2, 1, 0, 7);
        d.rho = _series(0, 28, 0, 0);
        d.lambda = _prices(200, 128, 200);
        (int256 cost, int256 bound,) = _verify(d);
        // 140 steps are 130 above the 10 so far; a step is 4 times the price per kW.
        assertEq(cost, 4_000_000 + 100 * 28 * 130);
        assertLe(bound, cost);
        assertGt(bound, 4_000_000);
    }

    function test_aCarMayBePostedTheLeastItsEvseHolds() public {
        Draft memory d = _draft();
        d.needs = _need(0, 1, 0x000303, 150, 60, 100);
        d.schedule = _schedule(_cells(60, 0, 0), _cells(20, 20, 20), _cells(0, 0, 0));
        (int256 cost, int256 bound,) = _verify(d);
        assertLe(bound, cost);
        d.schedule = _schedule(_cells(61, 0, 0), _cells(20, 20, 20), _cells(0, 0, 0));
        _refused(d, _err(IScheduleVerifier.EnergyExceeded.selector, 0, 61, 60));
        d.needs = _need(0, 1, 0x000303, 150, 60, 0);
        _refused(d, _err(IScheduleVerifier.EnergyExceeded.selector, 0, 61, 0));
    }

    function test_anOverloadLeavesRoomForItselfOnly() public {
        Draft memory d = _draft();
        d.groups = bytes.concat(_group(0, 90, 5_000), _group(0, 2_000, 0));
        d.schedule = _schedule(_cells(10, 20, 20), _cells(20, 20, 20), _cells(0, 0, 0));
        (int256 cost, int256 bound,) = _verify(d);
        assertLe(bound, cost);
        d.schedule = _schedule(_cells(10, 21, 20), _cells(20, 20, 20), _cells(0, 0, 0));
        _refused(d, _err(IScheduleVerifier.GroupExceeded.selector, 0));
    }

    function test_servingLateCostsTheRisk() public view {
        Draft memory d = _draft();
        // A surcharge of 30 from interval 2 on, where 140 quanta are.
        d.header = abi.encodePacked(
            bytes12(d.header), abi.encodePacked(uint32(1_000), uint32(30), uint32(100), uint32(0), uint8(1))
        );
        d.needs = _need(0, 1, 0x000203, 150, 0, 750);
        (int256 cost, int256 bound,) = _verify(d);
        assertEq(cost, 4_000_000 + 100 * 30 * 140);
        assertLe(bound, cost);
        d.mu = abi.encodePacked(BIAS + 230);
        d.lambda = _prices(230, 100, 200);
        (, bound,) = _verify(d);
        assertEq(bound, cost);
    }

    /// @dev Whatever the multipliers, the best schedule costs at least the bound.
    function testFuzz_anyMultipliersAreABound(uint256 seed) public view {
        Draft memory d = _draft();
        uint32[12] memory r;
        for (uint256 i; i < 12; ++i) {
            r[i] = uint32(uint256(keccak256(abi.encode(seed, i))) % (seed % 2 == 0 ? 2_000 : BIAS));
        }
        d.lambda = _series(BIAS - 100 + r[0] % BIAS / 2, BIAS + r[1] / 2, BIAS - r[2] / 2, BIAS);
        d.sigma = _series(BIAS + r[3], BIAS - r[4], BIAS + r[5], BIAS);
        d.mu = abi.encodePacked(BIAS - 1_000 + r[6]);
        d.rest = bytes.concat(hex"01", _series(BIAS + r[7] / 4, BIAS - r[8] / 4, BIAS + r[9] / 4, BIAS));
        (int256 cost, int256 bound,) = _verify(d);
        assertEq(cost, 4_000_000);
        assertLe(bound, cost);
    }

    // What it refuses

    /// Steering: whoever prices an interval above or below what its marginal power costs opens a gap of the whole money that
    /// is mispriced, of what is imported (140 steps) or of what more could be (860). So within a tolerance of one cent nobody
    /// can make the power of a plan worth more than a cent more or less by choosing multipliers.
    function testFuzz_aSteeredPriceOpensAGapOfWhatItMisprices(uint256 by, bool down) public view {
        Draft memory d = _draft();
        // Below the feed-in price, 50 less, what could be exported would be mispriced too.
        uint32 delta = uint32(bound(by, 0, down ? 50 : 99));
        d.lambda = _series(BIAS + 200, down ? BIAS + 100 - delta : BIAS + 100 + delta, BIAS + 200, BIAS);
        (int256 cost, int256 bound_,) = _verify(d);
        assertEq(cost - bound_, 100 * int256(uint256(delta)) * (down ? int256(140) : int256(860)));
    }

    /// Where nothing is imported or fed, every price between feed-in and import is right, and none opens a gap: multipliers
    /// are not unique, which is why a claim is capped.
    function testFuzz_betweenFeedInAndImportAnyPriceIsRight(uint32 price) public view {
        Draft memory d = _draft();
        price = uint32(bound(price, 50, 300));
        // The car, which is the only one to take more or less, draws nothing or all it can.
        d.needs = _need(0, 1, 0x010303, 150, 0, 725);
        d.loads = abi.encodePacked(uint16(1), uint8(0), _cells(20, 10, 10));
        d.schedule = _schedule(_cells2(150, 140), _cells(20, 20, 20), _cells(0, 0, 0));
        d.lambda = _prices(price, 100, 200);
        (int256 cost, int256 bound_,) = _verify(d);
        assertEq(cost - bound_, 0);
    }

    function _cells2(int16 a, int16 b) private pure returns (bytes memory) {
        return abi.encodePacked(a, b);
    }

    function test_header() public {
        bytes4 wrong = IScheduleVerifier.WrongHeader.selector;
        Draft memory d = _draft();
        d.header = _header(2, 3, 2, 1, 0, 0);
        _refused(d, abi.encodeWithSelector(wrong, 2, 3, 2, 1));
        d.header = _header(1, 0, 2, 1, 0, 0);
        _refused(d, abi.encodeWithSelector(wrong, 1, 0, 2, 1));
        d.header = _header(1, 113, 2, 1, 0, 0);
        _refused(d, abi.encodeWithSelector(wrong, 1, 113, 2, 1));
        d.header = _header(1, 3, 0, 1, 0, 0);
        _refused(d, abi.encodeWithSelector(wrong, 1, 3, 0, 1));
        d.header = _header(1, 3, 65, 1, 0, 0);
        _refused(d, abi.encodeWithSelector(wrong, 1, 3, 65, 1));
        d.header = _header(1, 3, 2, 4_097, 0, 0);
        _refused(d, abi.encodeWithSelector(wrong, 1, 3, 2, 4_097));
    }

    function test_lengths() public {
        bytes4 wrong = IScheduleVerifier.WrongPartLength.selector;
        Draft memory d = _draft();
        uint256 length = _inputs(d).length;
        d.batteries = bytes.concat(d.batteries, hex"00");
        _refused(d, _err(wrong, uint256(CertificatePart.Inputs), length + 1, length));
        d = _draft();
        d.schedule = bytes.concat(d.schedule, hex"00");
        _refused(d, _err(wrong, uint256(CertificatePart.Schedule), 19, 18));
        d = _draft();
        length = _multipliers(d).length;
        d.rest = hex"0000";
        _refused(d, _err(wrong, uint256(CertificatePart.Multipliers), length + 1, length));
    }

    function test_places() public {
        bytes4 group = IScheduleVerifier.NoSuchGroup.selector;
        bytes4 lane = IScheduleVerifier.NoSuchLane.selector;
        Draft memory d = _draft();
        d.groups = bytes.concat(_group(0, 10_000, 5_000), _group(1, 2_000, 0));
        _refused(d, _err(group, 1, 1));
        d = _draft();
        d.loads = abi.encodePacked(uint16(1), uint8(2), _cells(10, 10, 10));
        _refused(d, _err(group, 2, 2));
        d.loads = abi.encodePacked(uint16(4), uint8(0), _cells(10, 10, 10));
        _refused(d, _err(lane, 4, 4));
        d = _draft();
        d.needs = _need(0, 2, 0x000303, 150, 0, 750);
        _refused(d, _err(group, 2, 2));
        d.needs = _need(4, 1, 0x000303, 150, 0, 750);
        _refused(d, _err(lane, 4, 4));
    }

    function test_windows() public {
        bytes4 wrong = IScheduleVerifier.NeedOutOfRange.selector;
        Draft memory d = _draft();
        uint24[6] memory windows = [0x020202, 0x020101, 0x020103, 0x000403, 0x000304, 0x00ffff];
        for (uint256 i; i < windows.length; ++i) {
            d.needs = _need(0, 1, windows[i], 150, 0, 750);
            _refused(d, _err(wrong, 0));
        }
        d = _draft();
        d.mu = abi.encodePacked(OUT);
        _refused(d, _err(wrong, 0));
    }

    function test_powers() public {
        bytes4 wrong = IScheduleVerifier.PowerOutOfRange.selector;
        Draft memory d = _draft();
        d.loads = abi.encodePacked(uint16(1), uint8(0), _cells(10, -1, 10));
        _refused(d, _err(wrong, uint256(Powered.BaseLoad), 0));
        d = _draft();
        d.pvs = abi.encodePacked(uint16(2), uint8(0), _cells(20, -1, 20));
        _refused(d, _err(wrong, uint256(Powered.Pv), 0));
        d = _draft();
        d.schedule = _schedule(_cells(10, 150, 140), _cells(20, 20, 21), _cells(0, 0, 0));
        _refused(d, _err(wrong, uint256(Powered.Pv), 0));
        d = _draft();
        d.needs = _need(0, 1, 0x000303, 1 << 15, 0, 750);
        _refused(d, _err(wrong, uint256(Powered.Need), 0));
        d = _draft();
        d.schedule = _schedule(_cells(9, 151, 140), _cells(20, 20, 20), _cells(0, 0, 0));
        _refused(d, _err(wrong, uint256(Powered.Need), 0));
        d.schedule = _schedule(_cells(10, 150, -1), _cells(20, 20, 20), _cells(0, 0, 0));
        _refused(d, _err(wrong, uint256(Powered.Need), 0));
        d = _draft();
        d.batteries = _battery(1 << 15, 0);
        _refused(d, _err(wrong, uint256(Powered.Battery), 0));
        d = _draft();
        d.schedule = _schedule(_cells(10, 150, 140), _cells(20, 20, 20), _cells(0, 6, 0));
        _refused(d, _err(wrong, uint256(Powered.Battery), 0));
        d.schedule = _schedule(_cells(10, 150, 140), _cells(20, 20, 20), _cells(0, -6, 0));
        _refused(d, _err(wrong, uint256(Powered.Battery), 0));
    }

    function test_contents() public {
        bytes4 wrong = IScheduleVerifier.ContentOutOfRange.selector;
        Draft memory d = _draft();
        d.schedule = _schedule(_cells(10, 150, 140), _cells(20, 20, 20), _cells(1, -2, 0));
        _refused(d, abi.encodeWithSelector(wrong, 0, 1, int256(-100)));
        // 100 Wh are 40 quanta; a battery above its capacity may stay there.
        d.batteries = _battery(5, 120);
        d.schedule = _schedule(_cells(10, 150, 140), _cells(20, 20, 20), _cells(0, 0, 1));
        _refused(d, abi.encodeWithSelector(wrong, 0, 2, int256(4_900)));
    }

    function test_limits() public {
        Draft memory d = _draft();
        d.groups = bytes.concat(_group(0, 10_000, 5_000), _group(0, 1_490, 0));
        _refused(d, _err(IScheduleVerifier.GroupExceeded.selector, 1));
        d = _draft();
        d.schedule = _schedule(_cells(0, 150, 150), _cells(20, 20, 20), _cells(0, 0, 0));
        d.groups = bytes.concat(_group(0, 10_000, 90), _group(0, 2_000, 0));
        _refused(d, _err(IScheduleVerifier.GroupExceeded.selector, 0));
        d = _draft();
        bytes memory dimmed = abi.encodePacked(uint8(0), uint8(1), uint32(0), uint32(0), _series(200, 149, 200, 0));
        d.groups = bytes.concat(_group(0, 10_000, 5_000), dimmed);
        _refused(d, _err(IScheduleVerifier.GroupExceeded.selector, 1));
        dimmed = abi.encodePacked(uint8(0), uint8(1), uint32(0), uint32(0), _series(200, 1 << 30, 200, 0));
        d.groups = bytes.concat(_group(0, 10_000, 5_000), dimmed);
        _refused(d, _err(IScheduleVerifier.LimitOutOfRange.selector, 1));
    }

    function test_rows() public {
        Draft memory d = _draft();
        d.header = _header(1, 3, 2, 1, 1, 0);
        d.rest = hex"0000";
        // Twice what the car draws, less what the rest does.
        bytes memory terms = abi.encodePacked(uint8(1), int32(2), uint8(0), int32(-1));
        d.rows = abi.encodePacked(uint8(2), uint8(0), terms, uint64(310));
        (int256 cost, int256 bound,) = _verify(d);
        assertEq(cost, bound);
        d.rows = abi.encodePacked(uint8(2), uint8(0), terms, uint64(309));
        _refused(d, _err(IScheduleVerifier.RowExceeded.selector, 0, 1));
        d.rows = abi.encodePacked(uint8(2), uint8(1), terms, uint64(310), uint64(310), uint64(289));
        _refused(d, _err(IScheduleVerifier.RowExceeded.selector, 0, 2));
        d.rows = abi.encodePacked(uint8(1), uint8(0), uint8(2), int32(2), uint64(310));
        _refused(d, _err(IScheduleVerifier.NoSuchGroup.selector, 2, 2));
        d.rows = abi.encodePacked(uint8(1), uint8(0), uint8(1), int32(0), uint64(310));
        _refused(d, _err(IScheduleVerifier.EmptyRow.selector, 0));
        d.rows = abi.encodePacked(uint8(2), uint8(0), terms, uint64(310));
        d.rest = bytes.concat(hex"0001", _series(0, BIAS, 0, 0));
        _refused(d, _err(IScheduleVerifier.PriceOutOfRange.selector, 1));
    }

    function test_prices() public {
        bytes4 series = IScheduleVerifier.SeriesOutOfRange.selector;
        bytes4 price = IScheduleVerifier.PriceOutOfRange.selector;
        Draft memory d = _draft();
        d.prices = abi.encodePacked(_series(BIAS, OUT, BIAS, BIAS), BIAS);
        _refused(d, _err(series, 0));
        d.prices = abi.encodePacked(_prices(300, 100, 200), OUT);
        _refused(d, _err(series, 1));
        d = _draft();
        d.header = _header(1, 3, 2, 1, 0, 7);
        d.rho = _series(0, OUT, 0, 0);
        _refused(d, _err(series, 2));
        d.rho = _series(0, 28, 1, 0);
        _refused(d, _err(IScheduleVerifier.PeakOverpriced.selector, 29, 28));
        d = _draft();
        d.sigma = _series(BIAS, OUT, BIAS, BIAS);
        _refused(d, _err(series, 3));
        d = _draft();
        d.lambda = _series(BIAS, OUT, BIAS, BIAS);
        _refused(d, _err(price, 0));
        d = _draft();
        d.rest = bytes.concat(hex"01", _series(BIAS, OUT, BIAS, BIAS));
        _refused(d, _err(price, 1));
        // Both in range, their sum is not.
        d.rest = bytes.concat(hex"01", _series(BIAS, OUT - 100, BIAS, BIAS));
        _refused(d, _err(price, 1));
        d.lambda = _series(BIAS - 1, BIAS, BIAS, BIAS);
        d.rest = bytes.concat(hex"01", _series(0, BIAS, BIAS, BIAS));
        _refused(d, _err(price, 1));
    }

    // Commitments

    function _mayDispatch(uint8 rights, uint40 expiry) private {
        bytes memory poster = abi.encode(rights, expiry, address(0));
        vm.mockCall(address(DISPATCH), abi.encodeCall(IDispatch.posterOf, (SITE, address(this))), poster);
        vm.warp(uint256(FIRST) * INTERVAL_S - 1);
    }

    function test_certify_takesTheCommittedInputsOnly() public {
        _mayDispatch(RIGHT_DISPATCH, type(uint40).max);
        Draft memory d = _draft();
        bytes memory inputs = _inputs(d);
        bytes memory multipliers = _multipliers(d);
        bytes32 inputsHash = keccak256(inputs);
        vm.expectRevert(abi.encodeWithSelector(IScheduleVerifier.NotCommitted.selector, SITE, FIRST, inputsHash));
        verifier.certify(SITE, FIRST, inputs, d.schedule, multipliers);

        vm.expectEmit();
        emit IScheduleVerifier.InputsCommitted(SITE, FIRST, address(this), inputsHash);
        verifier.commitInputs(SITE, FIRST, inputsHash);
        bytes32 column = keccak256(abi.encodePacked(int16(10), int16(10), int16(-20), int16(0)));
        vm.expectEmit();
        emit IScheduleVerifier.ScheduleCertified(SITE, FIRST, inputsHash, column, 4_000_000, 4_000_000);
        verifier.certify(SITE, FIRST, inputs, d.schedule, multipliers);

        d.needs = _need(0, 1, 0x000303, 150, 0, 740);
        inputs = _inputs(d);
        d.schedule = _schedule(_cells(10, 146, 140), _cells(20, 20, 20), _cells(0, 0, 0));
        vm.expectRevert(abi.encodeWithSelector(IScheduleVerifier.NotCommitted.selector, SITE, FIRST, keccak256(inputs)));
        verifier.certify(SITE, FIRST, inputs, d.schedule, multipliers);
    }

    function test_commit_onceBeforeTheIntervalByADelegate() public {
        _mayDispatch(RIGHT_METER, type(uint40).max);
        bytes memory mayNot = abi.encodeWithSelector(IScheduleVerifier.MayNotCommit.selector, SITE, address(this));
        vm.expectRevert(mayNot);
        verifier.commitInputs(SITE, FIRST, SITE);
        _mayDispatch(RIGHT_DISPATCH, uint40(FIRST * INTERVAL_S - 2));
        vm.expectRevert(mayNot);
        verifier.commitInputs(SITE, FIRST, SITE);
        _mayDispatch(RIGHT_DISPATCH, type(uint40).max);
        verifier.commitInputs(SITE, FIRST, SITE);
        assertTrue(verifier.isCommitted(SITE, FIRST, SITE));
        assertFalse(verifier.isCommitted(SITE, FIRST, bytes32(0)));
        assertFalse(verifier.isCommitted(SITE, FIRST + 8, SITE));
        // Else the ring would forget what it has, and it could be committed anew.
        verifier.commitInputs(SITE, FIRST + 6, SITE);
        vm.expectRevert(
            abi.encodeWithSelector(
                IScheduleVerifier.CommittedTooEarly.selector, SITE, FIRST + 7, uint256(FIRST) * INTERVAL_S - 1
            )
        );
        verifier.commitInputs(SITE, FIRST + 7, SITE);
        vm.expectRevert(abi.encodeWithSelector(IScheduleVerifier.AlreadyCommitted.selector, SITE, FIRST));
        verifier.commitInputs(SITE, FIRST, bytes32(0));
        vm.warp(uint256(FIRST + 1) * INTERVAL_S);
        vm.expectRevert(
            abi.encodeWithSelector(
                IScheduleVerifier.CommittedTooLate.selector, SITE, FIRST + 1, uint256(FIRST + 1) * INTERVAL_S
            )
        );
        verifier.commitInputs(SITE, FIRST + 1, SITE);
    }
}
