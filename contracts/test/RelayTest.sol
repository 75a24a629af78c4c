// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";
import {SmartAccount} from "./SmartAccount.sol";

/// @notice The laws of a signature that a relayer brings to have money of an account leave, the same for withdrawals and
/// migrations: both sign the members of a Withdrawal, under another type.
abstract contract RelayTest is BaseTest {
    uint256 internal constant K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    uint128 internal constant FUNDS = 10e6;

    function setUp() public virtual override {
        super.setUp();
        _deposit(driver.addr, FUNDS);
    }

    /// @dev The act under test.
    function _hash(Withdrawal memory order) internal view virtual returns (bytes32);
    function _bring(Withdrawal memory order, bytes memory signature) internal virtual;
    /// @dev The other act.
    function _otherHash(Withdrawal memory order) internal view virtual returns (bytes32);
    /// @dev Where a test sends money.
    function _receiver() internal view virtual returns (address);
    function _received() internal view virtual returns (uint256);

    function _order(uint256 amount) internal view returns (Withdrawal memory) {
        return Withdrawal(driver.addr, _receiver(), amount, 7, uint40(block.timestamp + 10 minutes));
    }

    function _signOrder(Withdrawal memory order) internal view returns (bytes memory) {
        return _sign(driver, _hash(order));
    }

    function _bringSigned(Withdrawal memory order) internal {
        _bring(order, _signOrder(order));
    }

    function _expectBadSignature(Withdrawal memory order) internal {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadSignature.selector, _hash(order), order.account));
    }

    /// @dev Computed here from the standard, not from the contract.
    function _expectedHash(string memory name, Withdrawal memory order) internal view returns (bytes32) {
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
            abi.encodePacked(name, "(address account,address to,uint256 amount,uint64 nonce,uint40 validUntil)")
        );
        bytes32 hash =
            keccak256(abi.encode(typeHash, order.account, order.to, order.amount, order.nonce, order.validUntil));
        return keccak256(abi.encodePacked(hex"1901", domain, hash));
    }

    // What a signature allows

    function test_relay(address relayer, uint256 amount, uint64 nonce, uint40 time) public {
        Withdrawal memory order = _order(bound(amount, 1, FUNDS));
        order.nonce = nonce;
        vm.warp(bound(time, START, order.validUntil));
        bytes memory signature = _signOrder(order);
        uint256 accounted = settlement.accounted();
        assertFalse(settlement.isNonceUsed(driver.addr, nonce), "unused");
        vm.prank(relayer);
        _bring(order, signature);

        assertTrue(settlement.isNonceUsed(driver.addr, nonce), "used");
        assertEq(_received(), order.amount, "received");
        assertEq(settlement.balanceOf(driver.addr), FUNDS - order.amount, "wallet");
        assertEq(accounted - settlement.accounted(), order.amount, "accounted");
    }

    function test_relay_whilePaused() public {
        vm.prank(guardian);
        registry.setPaused(true);
        _bringSigned(_order(FUNDS));
        assertEq(_received(), FUNDS, "received");
    }

    function test_relay_smartAccount(uint256 amount) public {
        SmartAccount account = new SmartAccount(driver.addr);
        _deposit(address(account), FUNDS);
        Withdrawal memory order = _order(bound(amount, 1, FUNDS));
        order.account = address(account);
        _bringSigned(order);
        assertEq(settlement.balanceOf(address(account)), FUNDS - order.amount, "wallet of the account");
        assertEq(settlement.balanceOf(driver.addr), FUNDS, "wallet of its key");

        order.nonce++;
        bytes memory signature = _sign(meter, _hash(order));
        _expectBadSignature(order);
        _bring(order, signature);
    }

    // Time

    function test_boundary_validUntilIsTheLastSecond(uint40 validUntil) public {
        validUntil = uint40(bound(validUntil, START, type(uint40).max));
        Withdrawal memory order = _order(FUNDS);
        order.validUntil = validUntil;
        vm.warp(validUntil);
        _bringSigned(order);
        assertEq(_received(), FUNDS, "received");
    }

    function test_revert_SignatureExpired(uint40 validUntil, uint256 time) public {
        validUntil = uint40(bound(validUntil, 0, type(uint40).max - 1));
        time = bound(time, validUntil + 1, type(uint40).max);
        Withdrawal memory order = _order(FUNDS);
        order.validUntil = validUntil;
        bytes memory signature = _signOrder(order);
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.SignatureExpired.selector, validUntil, time));
        _bring(order, signature);
    }

    // Whose signature, over what

    function test_revert_BadSignature_othersKey(uint256 key) public {
        key = bound(key, 1, K1_ORDER - 1);
        vm.assume(key != driver.privateKey);
        Withdrawal memory order = _order(FUNDS);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _hash(order));
        _expectBadSignature(order);
        _bring(order, abi.encodePacked(r, s, v));
    }

    function test_revert_BadSignature_otherMember(uint256 member, uint256 other) public {
        Withdrawal memory order = _order(FUNDS / 2);
        bytes memory signature = _signOrder(order);
        member = bound(member, 0, 4);
        _deposit(stranger, FUNDS);
        if (member == 0) order.account = stranger;
        else if (member == 1) order.to = address(uint160(bound(other, 1, uint160(order.to) - 1)));
        else if (member == 2) order.amount = bound(other, 1, order.amount - 1);
        else if (member == 3) order.nonce = uint64(bound(other, 8, type(uint64).max));
        else order.validUntil = uint40(bound(other, order.validUntil + 1, type(uint40).max));
        _expectBadSignature(order);
        _bring(order, signature);
    }

    function test_revert_BadSignature_anyBytes(bytes calldata signature) public {
        Withdrawal memory order = _order(FUNDS);
        _expectBadSignature(order);
        _bring(order, signature);
    }

    /// @dev A failed recovery gives the zero address, whose signature it is not.
    function test_revert_BadSignature_nobody(bytes calldata signature) public {
        Withdrawal memory order = _order(FUNDS);
        order.account = address(0);
        _expectBadSignature(order);
        _bring(order, signature);
    }

    function test_revert_BadSignature_malleable(uint256 amount) public {
        Withdrawal memory order = _order(bound(amount, 1, FUNDS));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(driver.privateKey, _hash(order));
        _expectBadSignature(order);
        _bring(order, abi.encodePacked(r, bytes32(K1_ORDER - uint256(s)), v ^ 7));
    }

    function test_revert_BadSignature_otherChain(uint64 chain) public {
        chain = uint64(bound(chain, 1, type(uint64).max - 1));
        vm.assume(chain != block.chainid);
        Withdrawal memory order = _order(FUNDS);
        bytes memory signature = _signOrder(order);
        vm.chainId(chain);
        _expectBadSignature(order);
        _bring(order, signature);
    }

    function test_revert_BadSignature_otherContract(uint256 amount) public {
        Withdrawal memory order = _order(bound(amount, 1, FUNDS));
        bytes memory signature = _signOrder(order);
        settlement = _deploySettlement(IERC20(address(credit)));
        _deposit(driver.addr, FUNDS);
        _expectBadSignature(order);
        _bring(order, signature);
    }

    function test_revert_BadSignature_otherAct(uint256 amount) public {
        Withdrawal memory order = _order(bound(amount, 1, FUNDS));
        bytes memory signature = _sign(driver, _otherHash(order));
        _expectBadSignature(order);
        _bring(order, signature);
    }

    // Nonces

    function test_revert_NonceUsed_replay(uint64 nonce) public {
        Withdrawal memory order = _order(FUNDS / 2);
        order.nonce = nonce;
        bytes memory signature = _signOrder(order);
        _bring(order, signature);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, nonce));
        _bring(order, signature);
    }

    /// @dev Requests, amendments, withdrawals and migrations of an account share its nonces.
    function test_revert_NonceUsed_byAnotherAct() public {
        Request memory request = _request();
        request.totalCeiling = 0;
        _open(request);
        Withdrawal memory order = _order(FUNDS);
        order.nonce = request.nonce;
        bytes memory signature = _signOrder(order);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, request.nonce));
        _bring(order, signature);
    }

    /// @dev In any order; each marks its own bit of its own word, of its own account.
    function test_nonces_anyOrder(uint64 word, uint8[16] memory picks) public {
        Withdrawal memory order = _order(1);
        uint256 used;
        for (uint256 i; i < picks.length; ++i) {
            if (used >> picks[i] & 1 == 1) continue;
            used |= uint256(1) << picks[i];
            order.nonce = uint64(word / 256 * 256 + picks[i]);
            _bringSigned(order);
        }
        uint64 first = word / 256 * 256;
        for (uint64 bit; bit < 256; ++bit) {
            assertEq(settlement.isNonceUsed(driver.addr, first + bit), used >> bit & 1 == 1, "as used");
            assertFalse(settlement.isNonceUsed(stranger, first + bit), "another account's");
        }
        unchecked {
            assertFalse(settlement.isNonceUsed(driver.addr, first - 1), "the word before");
            assertFalse(settlement.isNonceUsed(driver.addr, first + 256), "the word after");
        }
    }

    function test_nonces_256ToAWord() public {
        Withdrawal memory order = _order(1);
        for (uint64 nonce = 256; nonce < 512; ++nonce) {
            order.nonce = nonce;
            _bringSigned(order);
        }
        assertEq(_received(), 256, "each once");
        bytes memory signature = _signOrder(order);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, order.nonce));
        _bring(order, signature);
    }

    /// @dev What failed may be tried again.
    function test_nonces_unusedWhereTheActFailed(uint256 missing) public {
        missing = bound(missing, 1, MAX_MONEY);
        Withdrawal memory order = _order(FUNDS + missing);
        bytes memory signature = _signOrder(order);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, FUNDS, order.amount)
        );
        _bring(order, signature);
        assertFalse(settlement.isNonceUsed(driver.addr, order.nonce), "unused");
        _deposit(driver.addr, missing);
        _bring(order, signature);
        assertEq(_received(), order.amount, "received");
    }

    // Amounts

    function test_revert_ZeroAmount_relay() public {
        Withdrawal memory order = _order(0);
        bytes memory signature = _signOrder(order);
        vm.expectRevert(ISettlement.ZeroAmount.selector);
        _bring(order, signature);
    }

    function test_revert_ZeroAddress_relay() public {
        Withdrawal memory order = _order(FUNDS);
        order.to = address(0);
        bytes memory signature = _signOrder(order);
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        _bring(order, signature);
    }
}
