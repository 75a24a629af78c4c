// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";

contract SettlementOpenSessionTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _deposit(driver.addr, 10e6);
    }

    function _expectRevert(Request memory request, bytes memory reason) private {
        bytes memory signature = _signRequest(request);
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.openSession(request, signature);
    }

    function test_openSession(uint32 energyWh, uint40 departure, uint128 ceiling, uint64 nonce) public {
        Request memory request = _request();
        request.energyWh = energyWh;
        request.departure = uint40(bound(departure, START + 1, type(uint40).max));
        request.totalCeiling = uint128(bound(ceiling, 0, 10e6));
        request.nonce = nonce;
        bytes32 id = settlement.sessionId(request);
        bytes memory signature = _signRequest(request);

        vm.expectEmit(address(settlement));
        emit ISettlement.SessionOpened(id, driver.addr, EVSE, SITE, request, PRICE, request.totalCeiling);
        vm.prank(oracle);
        bytes32 opened = settlement.openSession(request, signature);

        assertEq(opened, id, "id");
        Session memory session = settlement.session(id);
        assertEq(session.driver, driver.addr, "driver");
        assertEq(session.evse, EVSE, "evse");
        assertEq(session.site, SITE, "site");
        assertEq(session.meterKey, meter.addr, "meter key");
        assertEq(session.price, PRICE, "price");
        assertEq(session.held, request.totalCeiling, "held");
        assertEq(session.energyWh, energyWh, "energy");
        assertEq(session.departure, request.departure, "departure");
        assertEq(session.openedAt, START, "opened at");
        assertEq(uint8(session.state), uint8(SessionState.Active), "state");
        assertEq(settlement.openSessionAt(EVSE), id, "open session");
        assertEq(settlement.balanceOf(driver.addr), 10e6 - request.totalCeiling, "wallet");
        assertEq(settlement.accounted(), 10e6, "accounted");
    }

    function test_session_unknown(bytes32 id) public view {
        assertEq(abi.encode(settlement.session(id)), new bytes(10 * 32), "all zero");
    }

    /// @dev Computed here from the standard, not from the contract.
    function test_sessionId_isEip712Digest() public view {
        Request memory r = _request();
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Provolt"),
                keccak256("1"),
                block.chainid,
                address(settlement)
            )
        );
        bytes32 typeHash = keccak256(
            "Request(address driver,bytes32 evse,address meterKey,bytes32 tariffHash,uint32 energyWh,uint40 departure,uint64 priceCeiling,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
        );
        bytes memory head = abi.encode(typeHash, r.driver, r.evse, r.meterKey, r.tariffHash, r.energyWh);
        bytes memory tail = abi.encode(r.departure, r.priceCeiling, r.totalCeiling, r.nonce, r.validUntil);
        bytes32 expected = keccak256(abi.encodePacked(hex"1901", domain, keccak256(bytes.concat(head, tail))));
        assertEq(settlement.sessionId(r), expected, "digest");
    }

    function test_openSession_siteOwnerChargesFree() public {
        Vm.Wallet memory host = vm.createWallet("owner");
        assertEq(host.addr, owner, "the owner's key");
        vm.prank(owner);
        registry.registerDriver();
        Request memory request = _request();
        request.driver = owner;
        bytes memory signature = _sign(host, settlement.sessionId(request));
        vm.prank(oracle);
        bytes32 id = settlement.openSession(request, signature);
        assertEq(settlement.session(id).price, 0, "price");
        assertEq(settlement.session(id).held, 0, "held");
    }

    function test_openSession_emitsLowBalance(uint128 threshold) public {
        threshold = uint128(bound(threshold, 4e6 + 1, type(uint128).max));
        vm.prank(driver.addr);
        settlement.setLowBalanceThreshold(threshold);
        Request memory request = _request();
        request.totalCeiling = 6e6;
        bytes memory signature = _signRequest(request);
        vm.expectEmit(address(settlement));
        emit ISettlement.LowBalance(driver.addr, 4e6, threshold);
        vm.prank(oracle);
        settlement.openSession(request, signature);
    }

    function test_openSession_noLowBalanceAtThreshold(uint128 threshold) public {
        threshold = uint128(bound(threshold, 0, 4e6));
        vm.prank(driver.addr);
        settlement.setLowBalanceThreshold(threshold);
        Request memory request = _request();
        request.totalCeiling = 6e6;
        vm.recordLogs();
        _open(request);
        assertEq(vm.getRecordedLogs().length, 1, "only SessionOpened");
    }

    function test_openSession_afterTheLastOneEnded() public {
        bytes32 first = _open(_request());
        _settle(first, _begin(0, 1), _end(0, 2));
        Request memory request = _request();
        request.nonce = 2;
        bytes32 second = _open(request);
        assertEq(settlement.openSessionAt(EVSE), second, "open session");
    }

    function test_boundary_validUntilIsTheLastSecond() public {
        Request memory request = _request();
        vm.warp(request.validUntil);
        bytes32 id = _open(request);
        assertEq(uint8(settlement.session(id).state), uint8(SessionState.Active), "state");
    }

    function test_revert_RequestExpired(uint40 time) public {
        Request memory request = _request();
        request.departure = type(uint40).max;
        time = uint40(bound(time, request.validUntil + 1, type(uint40).max - 1));
        vm.warp(time);
        _expectRevert(
            request, abi.encodeWithSelector(ISettlement.RequestExpired.selector, request.validUntil, uint256(time))
        );
    }

    function test_revert_DeparturePassed(uint40 departure) public {
        Request memory request = _request();
        request.departure = uint40(bound(departure, 0, START));
        _expectRevert(request, abi.encodeWithSelector(ISettlement.DeparturePassed.selector, request.departure, START));
    }

    function test_revert_UnknownAsset(bytes32 evse) public {
        vm.assume(evse != EVSE && evse != OTHER_EVSE);
        Request memory request = _request();
        request.evse = keccak256(abi.encode(evse));
        _expectRevert(request, abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, request.evse));
    }

    function test_revert_UnknownEvse_assetOfAnotherKind() public {
        Request memory request = _request();
        request.evse = keccak256("battery");
        _expectRevert(request, abi.encodeWithSelector(ISettlement.UnknownEvse.selector, request.evse));
    }

    function test_revert_NotAuthorised(address who) public {
        vm.assume(who != oracle && who != owner);
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, who, RIGHT_SETTLE));
        vm.prank(who);
        settlement.openSession(request, signature);
    }

    function test_revert_UnregisteredDriver() public {
        Vm.Wallet memory other = vm.createWallet("unregistered");
        Request memory request = _request();
        request.driver = other.addr;
        bytes memory signature = _sign(other, settlement.sessionId(request));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnregisteredDriver.selector, other.addr));
        vm.prank(oracle);
        settlement.openSession(request, signature);
    }

    function test_revert_BadRequestSignature_otherKey(uint256 key) public {
        Request memory request = _request();
        bytes32 id = settlement.sessionId(request);
        key = boundPrivateKey(key);
        vm.assume(key != driver.privateKey);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, id);
        _expectBadSignature(request, abi.encodePacked(r, s, v));
    }

    function test_revert_BadRequestSignature_malformed(bytes memory signature) public {
        vm.assume(signature.length != 65);
        _expectBadSignature(_request(), signature);
    }

    function test_revert_BadRequestSignature_highS() public {
        Request memory request = _request();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(driver.privateKey, settlement.sessionId(request));
        _expectBadSignature(request, abi.encodePacked(r, bytes32(SECP256K1_ORDER - uint256(s)), v ^ 7));
    }

    function test_revert_BadRequestSignature_changedCeiling(uint128 ceiling) public {
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        vm.assume(ceiling != request.totalCeiling);
        request.totalCeiling = ceiling;
        _expectBadSignature(request, signature);
    }

    function test_replay_otherChain(uint64 chain) public {
        vm.assume(chain != block.chainid && chain > 0);
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        vm.chainId(chain);
        _expectBadSignature(request, signature);
    }

    function test_replay_otherContract() public {
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        Settlement other = new Settlement(registry, IERC20(address(credit)));
        bytes32 id = other.sessionId(request);
        assertTrue(id != settlement.sessionId(request), "ids differ");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadRequestSignature.selector, id, driver.addr));
        vm.prank(oracle);
        other.openSession(request, signature);
    }

    function test_replay_sameRequestAfterSettlement() public {
        Request memory request = _request();
        bytes32 id = _open(request);
        _settle(id, _begin(0, 1), _end(0, 2));
        _expectRevert(request, abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, request.nonce));
    }

    function test_revert_NonceUsed_otherRequest(uint64 nonce, uint32 energyWh) public {
        Request memory request = _request();
        request.nonce = nonce;
        _settle(_open(request), _begin(0, 1), _end(0, 2));
        request.energyWh = energyWh;
        _expectRevert(request, abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, nonce));
    }

    function test_revert_MeterKeyChanged(address key) public {
        vm.assume(key != meter.addr);
        Request memory request = _request();
        request.meterKey = key;
        _expectRevert(request, abi.encodeWithSelector(ISettlement.MeterKeyChanged.selector, EVSE, key, meter.addr));
    }

    function test_revert_TariffChanged(uint64 price) public {
        vm.assume(price != PRICE);
        vm.prank(owner);
        registry.setPrice(EVSE, price);
        bytes32 registered = keccak256(abi.encode(price));
        Request memory request = _request();
        _expectRevert(
            request, abi.encodeWithSelector(ISettlement.TariffChanged.selector, EVSE, request.tariffHash, registered)
        );
    }

    function test_revert_PriceAboveCeiling(uint64 ceiling) public {
        Request memory request = _request();
        request.priceCeiling = uint64(bound(ceiling, 0, PRICE - 1));
        _expectRevert(
            request, abi.encodeWithSelector(ISettlement.PriceAboveCeiling.selector, PRICE, request.priceCeiling)
        );
    }

    function test_revert_EvseBusy() public {
        bytes32 first = _open(_request());
        Request memory request = _request();
        request.nonce = 2;
        _expectRevert(request, abi.encodeWithSelector(ISettlement.EvseBusy.selector, EVSE, first));
    }

    function test_revert_InsufficientBalance(uint128 ceiling) public {
        Request memory request = _request();
        request.totalCeiling = uint128(bound(ceiling, 10e6 + 1, type(uint128).max));
        _expectRevert(
            request,
            abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, 10e6, request.totalCeiling)
        );
    }

    function _expectBadSignature(Request memory request, bytes memory signature) private {
        bytes32 id = settlement.sessionId(request);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadRequestSignature.selector, id, request.driver));
        vm.prank(oracle);
        settlement.openSession(request, signature);
    }
}
