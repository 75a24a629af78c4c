// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import {Bookings} from "../../src/Bookings.sol";
import "../../src/IProtocol.sol";
import {Settlement} from "../../src/Settlement.sol";
import {FlexibilityToken} from "../../src/tokens/FlexibilityToken.sol";
import {BaseTest} from "../BaseTest.sol";

/// @notice Certifies everything, or nothing.
contract CertificatesDouble is ICertificates {
    bool public isOn = true;

    function set(bool on) external {
        isOn = on;
    }

    function isCertified(bytes32, uint32, uint32) external view returns (bool) {
        return isOn;
    }
}

/// @notice The whole system, and beside it a plain model of everything that its contracts decide by: what a handler's action
/// must find accepted or refused, and what the laws compare the contracts with.
abstract contract World is BaseTest {
    struct EvseModel {
        uint256 tariff;
        uint256 meter;
        uint256 meters;
        Status status;
        Access access;
        bool removed;
    }

    struct Session {
        Terms terms;
        Bill bill;
        uint256 tariff;
        uint256 meter;
        SessionState state;
        bool rewarded;
    }

    /// @dev A booking, or what the host keeps for itself.
    struct Slot {
        bytes32 evse;
        address driver;
        uint256 from;
        uint256 count;
        uint256 price;
        uint256 deposit;
        uint256 noShowBps;
        uint256 cancelBefore;
        bool checkedIn;
        bool ended;
    }

    /// @dev What bills of a day came to.
    struct Day {
        uint256 day;
        uint256 amount;
        uint256 operatorFee;
        uint256 protocolFee;
    }

    uint256 internal constant FUNDS = 40e6;
    uint256 internal constant USERS = 5;
    uint256 internal constant EVSES = 3;
    uint256 internal constant METERS = 2;
    uint256 internal constant TARIFFS = 5;
    uint8 internal constant ALL_RIGHTS = RIGHT_DISPATCH | RIGHT_METER | RIGHT_SETTLE | RIGHT_PLAN;

    CertificatesDouble internal certificates;
    Settlement internal successor;

    /// @dev Three drivers, the site's owner, and who may become it.
    Vm.Wallet[] internal _users;
    Vm.Wallet[] internal _meters;
    bytes32[] internal _evseIds;
    /// @dev Everybody who can have money in Settlement.
    address[] internal _accounts;

    mapping(address account => uint256) internal _wallet;
    mapping(address account => uint256) internal _migrated;
    /// @dev The last nonce that an account has used in a contract.
    mapping(address target => mapping(address account => uint64)) internal _lastNonce;
    uint64 internal _nonce;
    uint256 internal _donated;

    mapping(bytes32 evse => EvseModel) internal _evses;
    mapping(address driver => Standing) internal _standings;
    mapping(address driver => bool) internal _isDriver;
    address internal _host;
    address internal _pendingHost;
    uint8 internal _rights = ALL_RIGHTS;
    uint40 internal _expiry = type(uint40).max;
    address internal _siteOperator;
    uint16 internal _operatorFeeBps = OPERATOR_FEE_BPS;
    uint16 internal _rewardBps = REWARD_BPS;
    uint64 internal _rewardCap = REWARD_CAP;
    bool internal _paused;

    Session[] internal _sessions;
    /// @dev Index + 1 of the session that a place keeps.
    mapping(bytes32 evse => mapping(uint256 place => uint256)) internal _kept;
    mapping(bytes32 evse => mapping(uint256 meter => uint64)) internal _registerWh;
    mapping(bytes32 evse => mapping(uint256 meter => uint64)) internal _counter;
    Day[] internal _days;
    Day internal _claimable;

    Slot[] internal _slots;
    mapping(bytes32 evse => BookingTerms) internal _bookingTerms;
    mapping(bytes32 evse => uint8) internal _version;
    /// @dev One more than the price; 0 for none.
    mapping(bytes32 evse => mapping(uint256 interval => uint256)) internal _ownPrice;

    /// @notice Whether the last act changed anything: what was refused cannot have.
    bool public changed = true;
    mapping(bytes4 action => uint256) public accepted;
    mapping(bytes4 refusal => uint256) public refused;

    function setUp() public virtual override {
        super.setUp();
        certificates = new CertificatesDouble();
        settlement = new Settlement(registry, IERC20(address(credit)), certificates);
        successor = _deploySettlement(IERC20(address(credit)));
        bookings = Bookings(settlement.bookings());
        flexibility = FlexibilityToken(settlement.flexibility());
        _users.push(driver);
        _users.push(vm.createWallet("second driver"));
        _users.push(vm.createWallet("third driver"));
        _users.push(vm.createWallet("owner"));
        _users.push(vm.createWallet("heir"));
        _meters.push(meter);
        _meters.push(otherMeter);
        for (uint256 i; i < USERS; ++i) {
            _accounts.push(_users[i].addr);
        }
        _accounts.push(operator);
        _accounts.push(protocol);
        (_host, _siteOperator) = (owner, operator);
        _setUpEvses();
        // The third driver registers in the course of events, or never.
        _isDriver[driver.addr] = true;
        _registerDriver(_users[1].addr);
        _registerDriver(owner);
        _registerDriver(_users[4].addr);
        for (uint256 i; i < USERS; ++i) {
            _deposit(_users[i].addr, FUNDS);
            _wallet[_users[i].addr] = FUNDS;
        }
    }

    function _setUpEvses() private {
        for (uint256 i; i < EVSES; ++i) {
            bytes32 evse = _demoEvses()[i];
            _evseIds.push(evse);
            _evses[evse].meter = i == 1 ? 1 : 0;
            _evses[evse].meters = 1;
            BookingTerms memory terms = BookingTerms(2e6, 50_000, 2 hours, 5_000, 96);
            vm.prank(owner);
            bookings.setTerms(evse, terms);
            (_bookingTerms[evse], _version[evse]) = (terms, 1);
        }
    }

    function _registerDriver(address who) internal {
        vm.prank(who);
        registry.registerDriver();
        _isDriver[who] = true;
    }

    /// @dev Calls, and fails unless the verdict is what the model says: no refusal, or this error.
    function _attempt(address sender, address target, bytes memory data, bytes4 refusal)
        internal
        returns (bytes memory answer)
    {
        bool success;
        vm.prank(sender);
        (success, answer) = target.call(data);
        if (success != (refusal == 0) || (!success && bytes4(answer) != refusal)) {
            emit log_named_bytes("call", data);
            emit log_named_bytes("answer", answer);
            emit log_named_bytes32("refusal expected", refusal);
            fail();
        }
        changed = success;
        if (success) ++accepted[bytes4(data)];
        else ++refused[refusal];
    }

    /// @dev The first of two refusals, if any.
    function _either(bytes4 first, bytes4 second) internal pure returns (bytes4) {
        return first != 0 ? first : second;
    }

    function _user(uint256 seed) internal view returns (Vm.Wallet memory) {
        return _users[seed % USERS];
    }

    function _evse(uint256 seed) internal view returns (bytes32) {
        return _evseIds[seed % EVSES];
    }

    /// @dev An index into a list of this length, mostly near its end: what is new has most before it.
    function _recent(uint256 seed, uint256 length) internal pure returns (uint256) {
        return length - 1 - seed / 4 % _min(length, seed % 4 == 0 ? 16 : 3);
    }

    function _dice(uint256 seed, uint256 what) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    function _max(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a : b;
    }

    /// @dev A nonce that nobody has used, or where there is one and `again`, the account's last.
    function _nonceOf(address target, address account, bool again) internal returns (uint64) {
        uint64 last = _lastNonce[target][account];
        return again && last != 0 ? last : ++_nonce;
    }

    /// @dev Expired in one of eight.
    function _validUntil(uint256 seed) internal view returns (uint40) {
        return uint40(block.timestamp - (seed % 8 == 2 ? 1 : 0));
    }

    /// @dev What Settlement says to a signature with these.
    function _signatureRefusal(Vm.Wallet memory signer, address account, uint40 validUntil)
        internal
        view
        returns (bytes4)
    {
        if (block.timestamp > validUntil) return ISettlement.SignatureExpired.selector;
        return signer.addr == account ? bytes4(0) : ISettlement.BadSignature.selector;
    }

    function _nonceRefusal(address account, uint64 nonce) internal view returns (bytes4) {
        bool used = nonce == _lastNonce[address(settlement)][account];
        return used ? ISettlement.NonceUsed.selector : bytes4(0);
    }

    function _mayUse(address who, uint8 right) internal view returns (bool) {
        if (who == _host) return true;
        return who == oracle && _rights & right == right && block.timestamp <= _expiry;
    }

    function _isFree(address who) internal view returns (bool) {
        return who == _host || _standings[who] == Standing.KeyHolder;
    }

    /// @dev Whether an EVSE is for this driver, registered or not.
    function _isFor(bytes32 evse, address who) internal view returns (bool) {
        if (_isFree(who)) return true;
        Access access = _evses[evse].access;
        if (access == Access.Public) return _standings[who] != Standing.Blocked;
        return access == Access.Members && _standings[who] == Standing.Member;
    }

    /// @dev Flat; free; three prices; every fee with a maximum; a minimum that no short session reaches.
    function _tariff(uint256 i) internal pure returns (Tariff memory tariff) {
        tariff.price = PRICE;
        if (i == 1) tariff.price = 0;
        if (i == 2) {
            tariff.bands = new Band[](3);
            tariff.bands[0] = Band(6 * 60, 300_000);
            tariff.bands[1] = Band(3 * 1440 + 60, 500_000);
            tariff.bands[2] = Band(6 * 1440, 100_000);
        }
        if (i == 3) {
            (tariff.sessionFee, tariff.idleFeePerMinute, tariff.maximum) = (350_000, 100_000, 5e6);
            tariff.bands = new Band[](1);
            tariff.bands[0] = Band(0, 600_000);
        }
        if (i == 4) (tariff.sessionFee, tariff.idleFeePerMinute, tariff.minimum) = (10_000, 1_000, 2e6);
    }

    /// @dev Index of the session open at an EVSE plus one; 0 when there is none.
    function _openAt(bytes32 evse) internal view returns (uint256) {
        for (uint256 i = _sessions.length; i > 0; --i) {
            Session storage session = _sessions[i - 1];
            if (session.state == SessionState.Active && session.terms.evse == evse) return i;
        }
        return 0;
    }

    /// @dev The first of the slots from `i` on that has any of [from, end) of an EVSE; their number when none has.
    function _nextSlot(uint256 i, bytes32 evse, uint256 from, uint256 end) internal view returns (uint256) {
        for (; i < _slots.length; ++i) {
            Slot storage slot = _slots[i];
            if (slot.ended || slot.evse != evse) continue;
            if (slot.from < end && from < slot.from + slot.count) break;
        }
        return i;
    }

    /// @dev Whether somebody else has any interval of a stay until `departure`.
    function _isTakenFor(address who, bytes32 evse, uint256 departure) internal view returns (bool) {
        uint256 from = block.timestamp / INTERVAL_S;
        uint256 end = departure > block.timestamp ? (departure + INTERVAL_S - 1) / INTERVAL_S : from;
        uint256 i = _nextSlot(0, evse, from, end);
        for (; i < _slots.length; i = _nextSlot(i + 1, evse, from, end)) {
            address holder = _slots[i].driver == address(0) ? _host : _slots[i].driver;
            if (holder != who) return true;
        }
        return false;
    }

    /// @dev Money of a driver is held for it.
    function _isHeld(Slot storage slot) internal view returns (bool) {
        return slot.driver != address(0) && !slot.ended && !slot.checkedIn;
    }
}
