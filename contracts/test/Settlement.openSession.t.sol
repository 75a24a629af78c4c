// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";

contract SettlementOpenSessionTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _deposit(driver.addr, HELD);
    }

    function _expectRevert(Request memory request, bytes memory reason) private {
        _expectRevert(request, _flatTariff(), _signRequest(request), reason);
    }

    function _expectRevert(Request memory request, Tariff memory tariff, bytes memory signature, bytes memory reason)
        private
    {
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.openSession(request, tariff, signature);
    }

    function _termsOf(Request memory request) private view returns (Terms memory terms) {
        terms.session = settlement.sessionId(request);
        terms.site = SITE;
        terms.evse = request.evse;
        terms.meter = request.meter;
        terms.driver = request.driver;
        terms.settler = oracle;
        terms.energyWh = request.energyWh;
        terms.openedAt = uint40(block.timestamp);
        terms.departure = request.departure;
        terms.held = request.totalCeiling;
        terms.operatorFeeBps = OPERATOR_FEE_BPS;
        terms.rewardBps = REWARD_BPS;
        terms.rewardCap = REWARD_CAP;
        terms.tariffHash = request.tariffHash;
    }

    function test_openSession(uint32 energyWh, uint40 departure, uint128 ceiling, uint64 nonce) public {
        Request memory request = _request();
        request.energyWh = energyWh;
        request.departure = uint40(bound(departure, START + 1, START + 7 days));
        request.totalCeiling = uint128(bound(ceiling, 0, HELD));
        request.nonce = nonce;
        Terms memory terms = _termsOf(request);
        bytes memory signature = _signRequest(request);

        vm.expectEmit(address(settlement));
        emit ISettlement.SessionOpened(SITE, driver.addr, EVSE, terms, _flatTariff());
        vm.prank(oracle);
        bytes32 opened = settlement.openSession(request, _flatTariff(), signature);

        assertEq(opened, terms.session, "id");
        (bool open, uint16 place) = settlement.openAt(EVSE);
        assertTrue(open, "open");
        (bytes26 commitment, uint40 time, SessionState state) = settlement.placeAt(EVSE, place);
        assertEq(commitment, bytes26(keccak256(abi.encode(terms))), "the terms, encoded anew");
        assertEq(time, START, "since");
        assertEq(uint8(state), uint8(SessionState.Active), "state");
        assertEq(settlement.balanceOf(driver.addr), HELD - request.totalCeiling, "wallet");
        assertEq(settlement.accounted(), HELD, "accounted");
        assertTrue(settlement.isNonceUsed(driver.addr, nonce), "nonce");
    }

    /// @dev Computed here from the standard, not from the contract.
    function test_sessionId_isEip712Digest(Request memory r) public view {
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
            "Request(address driver,bytes32 evse,bytes32 meter,bytes32 tariffHash,uint32 energyWh,uint40 departure,uint64 priceCeiling,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
        );
        bytes memory head = abi.encode(typeHash, r.driver, r.evse, r.meter, r.tariffHash, r.energyWh);
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
        Terms memory terms = _open(request, _flatTariff(), _sign(host, settlement.sessionId(request)));
        assertEq(terms.held, 0, "held");
        assertEq(terms.rewardBps, 0, "share of what flexibility is worth");
    }

    function test_openSession_keyHolderChargesFree() public {
        _setStanding(driver.addr, Standing.KeyHolder);
        Terms memory terms = _open(_request());
        assertEq(terms.held, 0, "held");
        assertEq(terms.rewardBps, 0, "share of what flexibility is worth");
        assertEq(settlement.balanceOf(driver.addr), HELD, "wallet");
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
        settlement.openSession(request, _flatTariff(), signature);
    }

    function test_openSession_noLowBalanceAtThreshold(uint128 threshold) public {
        threshold = uint128(bound(threshold, 0, 4e6));
        vm.prank(driver.addr);
        settlement.setLowBalanceThreshold(threshold);
        Request memory request = _request();
        request.totalCeiling = 6e6;
        bytes memory signature = _signRequest(request);
        vm.recordLogs();
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);
        assertEq(vm.getRecordedLogs().length, 1, "only SessionOpened");
    }

    /// @dev A place whose bill can be disputed is kept; one whose bill is final is used again.
    function test_openSession_usesPlacesAgainWhenTheyAreFinal() public {
        for (uint64 i; i < 3; ++i) {
            Request memory request = _request();
            (request.nonce, request.totalCeiling) = (i + 10, 0);
            Terms memory terms = _open(request);
            assertEq(terms.place, i, "a new place while the others can be disputed");
            _settle(terms, _begin(0, 2 * i + 1), _end(0, 2 * i + 2));
        }
        vm.warp(START + 2 days);
        assertEq(_openNext(20).place, 3, "at the window's last second");
        vm.warp(START + 5 days);
        _settle(_lastTerms, _begin(0, 50), _end(0, 51));
        assertEq(_openNext(21).place, 0, "after it, from the oldest on");
    }

    Terms private _lastTerms;

    function _openNext(uint64 nonce) private returns (Terms memory) {
        Request memory request = _request();
        (request.nonce, request.totalCeiling, request.departure) = (nonce, 0, uint40(block.timestamp + 6 days));
        _lastTerms = _open(request);
        return _lastTerms;
    }

    function test_boundary_validUntilIsTheLastSecond() public {
        Request memory request = _request();
        vm.warp(request.validUntil);
        assertEq(_open(request).openedAt, request.validUntil, "opened");
    }

    function test_revert_SignatureExpired(uint40 time) public {
        Request memory request = _request();
        time = uint40(bound(time, request.validUntil + 1, type(uint40).max - 1));
        vm.warp(time);
        _expectRevert(
            request, abi.encodeWithSelector(ISettlement.SignatureExpired.selector, request.validUntil, uint256(time))
        );
    }

    function test_revert_BadDeparture(uint40 departure, bool late) public {
        Request memory request = _request();
        request.departure =
            uint40(late ? bound(departure, START + 7 days + 1, type(uint40).max) : bound(departure, 0, START));
        _expectRevert(
            request,
            abi.encodeWithSelector(ISettlement.BadDeparture.selector, request.departure, START + 1, START + 7 days)
        );
    }

    function test_revert_UnknownAsset(bytes32 evse) public {
        Request memory request = _request();
        request.evse = keccak256(abi.encode(evse));
        _expectRevert(request, abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, request.evse));
    }

    function test_revert_UnknownEvse_assetOfAnotherKind() public {
        Request memory request = _request();
        request.evse = keccak256("battery");
        _expectRevert(request, abi.encodeWithSelector(ISettlement.UnknownEvse.selector, request.evse));
    }

    function test_revert_EvseUnavailable(bool faulted) public {
        Status status = faulted ? Status.Faulted : Status.Unavailable;
        vm.prank(oracle);
        registry.setStatus(EVSE, status, "GroundFailure");
        _expectRevert(_request(), abi.encodeWithSelector(ISettlement.EvseUnavailable.selector, EVSE, status));
    }

    function test_revert_EvseUnavailable_removed() public {
        Request memory request = _request();
        vm.prank(owner);
        registry.removeAsset(EVSE);
        _expectRevert(request, abi.encodeWithSelector(ISettlement.EvseUnavailable.selector, EVSE, Status.Available));
    }

    function test_revert_Paused() public {
        vm.prank(guardian);
        registry.setPaused(true);
        _expectRevert(_request(), abi.encodeWithSelector(ISettlement.Paused.selector));
    }

    function test_revert_NotAuthorised(address who) public {
        vm.assume(who != oracle && who != owner);
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, who, RIGHT_SETTLE));
        vm.prank(who);
        settlement.openSession(request, _flatTariff(), signature);
    }

    function test_revert_NotAdmitted_unregistered() public {
        Vm.Wallet memory other = vm.createWallet("unregistered");
        Request memory request = _request();
        request.driver = other.addr;
        _expectRevert(
            request,
            _flatTariff(),
            _sign(other, settlement.sessionId(request)),
            abi.encodeWithSelector(ISettlement.NotAdmitted.selector, EVSE, other.addr)
        );
    }

    function test_revert_NotAdmitted_blocked() public {
        _setStanding(driver.addr, Standing.Blocked);
        _expectRevert(_request(), abi.encodeWithSelector(ISettlement.NotAdmitted.selector, EVSE, driver.addr));
    }

    function test_access_membersAndKeyHolders() public {
        vm.prank(owner);
        registry.setAccess(EVSE, Access.Members);
        _expectRevert(_request(), abi.encodeWithSelector(ISettlement.NotAdmitted.selector, EVSE, driver.addr));
        _setStanding(driver.addr, Standing.Member);
        assertEq(_open(_request()).held, HELD, "a member pays");
    }

    function test_access_ownerOnly() public {
        vm.prank(owner);
        registry.setAccess(EVSE, Access.OwnerOnly);
        _setStanding(driver.addr, Standing.Member);
        _expectRevert(_request(), abi.encodeWithSelector(ISettlement.NotAdmitted.selector, EVSE, driver.addr));
        _setStanding(driver.addr, Standing.KeyHolder);
        assertEq(_open(_request()).driver, driver.addr, "a key-holder may");
    }

    function test_revert_BadSignature_otherKey(uint256 key) public {
        Request memory request = _request();
        key = boundPrivateKey(key);
        vm.assume(key != driver.privateKey);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, settlement.sessionId(request));
        _expectBadSignature(request, abi.encodePacked(r, s, v));
    }

    function test_revert_BadSignature_malformed(bytes memory signature) public {
        vm.assume(signature.length != 65);
        _expectBadSignature(_request(), signature);
    }

    function test_malleability_requestWithHighS() public {
        Request memory request = _request();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(driver.privateKey, settlement.sessionId(request));
        _expectBadSignature(request, abi.encodePacked(r, bytes32(SECP256K1_ORDER - uint256(s)), v ^ 7));
    }

    function test_revert_BadSignature_changedCeiling(uint128 ceiling) public {
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        vm.assume(ceiling != request.totalCeiling);
        request.totalCeiling = ceiling;
        _expectBadSignature(request, signature);
    }

    function test_replay_requestOnAnotherChain(uint64 chain) public {
        vm.assume(chain != block.chainid && chain > 0);
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        vm.chainId(chain);
        _expectBadSignature(request, signature);
    }

    function test_replay_requestInAnotherContract() public {
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        Settlement other = _deploySettlement(credit);
        bytes32 id = other.sessionId(request);
        assertTrue(id != settlement.sessionId(request), "ids differ");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadSignature.selector, id, driver.addr));
        vm.prank(oracle);
        other.openSession(request, _flatTariff(), signature);
    }

    function test_replay_sameRequestAfterSettlement() public {
        Request memory request = _request();
        _settle(_open(request), _begin(0, 1), _end(0, 2));
        _expectRevert(request, abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, request.nonce));
    }

    function test_revert_NonceUsed_otherRequest(uint64 nonce, uint32 energyWh) public {
        Request memory request = _request();
        request.nonce = nonce;
        _settle(_open(request), _begin(0, 1), _end(0, 2));
        request.energyWh = energyWh;
        _expectRevert(request, abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, nonce));
    }

    function test_revert_MeterChanged(bytes32 other) public {
        vm.assume(other != _meterId(meter.addr));
        Request memory request = _request();
        request.meter = other;
        _expectRevert(
            request, abi.encodeWithSelector(ISettlement.MeterChanged.selector, EVSE, other, _meterId(meter.addr))
        );
    }

    function test_frontRunning_tariffChangedBeforeTheSession(uint64 price) public {
        vm.assume(price != PRICE);
        Tariff memory other = _flatTariff();
        other.price = price;
        vm.prank(owner);
        registry.setTariff(_only(EVSE), other);
        Request memory request = _request();
        _expectRevert(
            request,
            abi.encodeWithSelector(ISettlement.TariffChanged.selector, EVSE, request.tariffHash, _tariffHash(other))
        );
    }

    function test_revert_TariffChanged_presented(uint64 price) public {
        vm.assume(price != PRICE);
        Tariff memory other = _flatTariff();
        other.price = price;
        Request memory request = _request();
        request.priceCeiling = type(uint64).max;
        _expectRevert(
            request,
            other,
            _signRequest(request),
            abi.encodeWithSelector(ISettlement.TariffChanged.selector, EVSE, _tariffHash(other), request.tariffHash)
        );
    }

    function test_revert_PriceAboveCeiling(uint64 ceiling) public {
        Request memory request = _request();
        request.priceCeiling = uint64(bound(ceiling, 0, PRICE - 1));
        _expectRevert(
            request, abi.encodeWithSelector(ISettlement.PriceAboveCeiling.selector, PRICE, request.priceCeiling)
        );
    }

    function test_revert_PriceAboveCeiling_inABand() public {
        Tariff memory tariff = _flatTariff();
        tariff.bands = new Band[](1);
        tariff.bands[0] = Band(600, PRICE + 1);
        vm.prank(owner);
        registry.setTariff(_only(EVSE), tariff);
        Request memory request = _request();
        request.tariffHash = _tariffHash(tariff);
        _expectRevert(
            request,
            tariff,
            _signRequest(request),
            abi.encodeWithSelector(ISettlement.PriceAboveCeiling.selector, PRICE + 1, PRICE)
        );
    }

    function test_revert_AmountTooLarge() public {
        Request memory request = _request();
        request.totalCeiling = 1e24 + 1;
        _expectRevert(request, abi.encodeWithSelector(ISettlement.AmountTooLarge.selector, 1e24 + 1, 1e24));
    }

    function test_revert_EvseBusy() public {
        _open(_request());
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 0);
        _expectRevert(request, abi.encodeWithSelector(ISettlement.EvseBusy.selector, EVSE));
    }

    function test_revert_InsufficientBalance(uint128 ceiling) public {
        Request memory request = _request();
        request.totalCeiling = uint128(bound(ceiling, HELD + 1, 1e24));
        _expectRevert(
            request,
            abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, HELD, request.totalCeiling)
        );
    }

    function _expectBadSignature(Request memory request, bytes memory signature) private {
        bytes32 id = settlement.sessionId(request);
        _expectRevert(
            request,
            _flatTariff(),
            signature,
            abi.encodeWithSelector(ISettlement.BadSignature.selector, id, request.driver)
        );
    }
}
