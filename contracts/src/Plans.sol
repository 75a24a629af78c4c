// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {
    Certificate,
    ContentProof,
    EnergyProof,
    HistoryProof,
    IAssetRegistry,
    ICertificates,
    IDispatch,
    INTERVAL_S,
    IPlans,
    IScheduleVerifier,
    Plan,
    PlanMode,
    PlanRules,
    PostedReadings,
    Refutation,
    RIGHT_DISPATCH,
    RIGHT_PLAN,
    SitePart,
    Terms
} from "./IProtocol.sol";
import {InputParts} from "./libraries/InputParts.sol";
import {Layout} from "./libraries/Layout.sol";
import {Refutations} from "./libraries/Refutations.sol";
import {SiteInputs} from "./libraries/SiteInputs.sol";

/// @title Plans
/// @notice The only way to setpoints that count as certified: the certificate is verified before they are posted, or nobody
/// has challenged it in time. What a posting does not look at can be refuted until a day after the interval began.
///
/// No slot is new for an interval: plans are hashes in a ring, certified intervals bits in another.
contract Plans is IPlans, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev Counted from the start of the interval: whoever watches gets a day, and flexibility, which can be claimed within
    /// a day and a half of the bill, does not wait longer.
    uint256 public constant CHALLENGE_WINDOW = 1 days;
    /// @dev Of a bond that is taken. The rest is the protocol's: who challenges oneself before somebody else does still loses.
    uint256 public constant CHALLENGER_BPS = 5_000;
    /// @dev Plans of a site that are kept: 96 ahead, 96 behind that can be refuted, and time to release their bonds. Where the
    /// next plan goes the window of the one before, 160 intervals back or more, is over.
    uint256 public constant PLAN_DEPTH = 256;
    /// @dev A stay of seven days and two days of dispute are 864 intervals; with the 96 ahead they are in six words at most.
    uint256 public constant CERTIFIED_WORDS = 8;
    /// @dev Days. A market knows tomorrow, and a tariff that is told on Friday reaches over a long weekend.
    uint256 public constant ANNOUNCED_AHEAD = 4;
    /// @dev Days whose prices are kept. Plans that can be refuted began yesterday at the earliest.
    uint256 private constant PRICE_DAYS = 8;
    /// @dev For people.
    uint256 public constant MAX_REASON = 128;
    /// @dev One cent: rounding to 10 W costs a thousandth of it.
    uint64 public constant DEFAULT_TOLERANCE = 10_000;
    /// @dev What cost and bound count in, in a base unit.
    int256 private constant UNITS = 40_000;
    uint256 private constant BPS = 10_000;

    /// @dev A word of the second ring: which run of 224 intervals it is of, and above that a bit for each.
    uint256 private constant RUN_BITS = 32;
    uint256 private constant RUN_LENGTH = 256 - RUN_BITS;

    /// @dev A place of the first ring: the interval (32), whether its bond is staked (1), and of its plan's hash the leading
    /// bits, which are zero once it was refuted or released.
    uint256 private constant STAKED = 1 << 32;
    uint256 private constant HASH_SHIFT = 33;

    IAssetRegistry public immutable registry;
    IDispatch public immutable dispatch;
    IScheduleVerifier public immutable defaultVerifier;
    IERC20 private immutable _credit;

    /// @dev `from` is zero where nothing was set.
    struct Stored {
        PlanRules rules;
        uint32 from;
    }

    struct Announcement {
        bytes32 pricesHash;
        uint32 day;
        uint40 announcedAt;
    }

    struct SitePlans {
        Stored current;
        Stored coming;
        uint256 uncertified;
        uint256[CERTIFIED_WORDS] certified;
        uint256[PLAN_DEPTH] places;
        Announcement[PRICE_DAYS] prices;
    }

    mapping(bytes32 site => SitePlans) private _sites;
    mapping(address account => uint256) private _stakes;

    /// @inheritdoc IPlans
    uint256 public accounted;

    constructor(IAssetRegistry registry_, IERC20 credit_, IScheduleVerifier verifier_) {
        registry = registry_;
        dispatch = registry_.dispatch();
        defaultVerifier = verifier_;
        _credit = credit_;
    }

    /// @inheritdoc IPlans
    function setRules(bytes32 site, PlanRules calldata rules, uint32 from) external {
        SitePlans storage plans = _sites[site];
        uint32 earliest = _now() + 1;
        require(registry.site(site).owner == msg.sender, NotSiteOwner(site, msg.sender));
        require(from >= earliest, RulesTooEarly(site, from, earliest));
        require(address(rules.verifier).code.length > 0, NoVerifier(address(rules.verifier)));

        // What is still coming has held for nothing yet, and is replaced.
        if (plans.coming.from != 0 && plans.coming.from < earliest) plans.current = plans.coming;
        plans.coming = Stored(rules, from);

        emit RulesSet(site, from, rules);
    }

    /// @inheritdoc IPlans
    function postProved(bytes32 site, uint32 interval, Certificate calldata certificate, bytes calldata lanes)
        external
    {
        Plan memory plan = _open(site, interval, certificate, lanes);
        (SitePart part, uint256 index) = _mismatch(plan.layoutAt, plan.rules.terms, certificate.inputs);
        require(part == SitePart.None, InputsNotOfSite(site, part, index));
        bytes32 columnHash;
        (plan.cost, plan.bound,, columnHash) =
            plan.rules.verifier.verify(certificate.inputs, certificate.schedule, certificate.multipliers);
        require(columnHash == plan.columnHash, WrongColumn(site, interval, columnHash));
        int256 gap = plan.cost - plan.bound;
        require(
            plan.rules.mode == PlanMode.Improved || _isClose(plan),
            GapTooLarge(site, interval, gap, plan.rules.tolerance)
        );

        _setCertified(site, interval, true);
        _post(plan, lanes);
    }

    /// @inheritdoc IPlans
    function postClaimed(
        bytes32 site,
        uint32 interval,
        Certificate calldata certificate,
        bytes calldata lanes,
        int256 cost,
        int256 bound
    ) external {
        Plan memory plan = _open(site, interval, certificate, lanes);
        (plan.cost, plan.bound) = (cost, bound);
        require(plan.rules.mode == PlanMode.Optimistic, WrongMode(site, plan.rules.mode));
        require(_isClose(plan), GapTooLarge(site, interval, cost - bound, plan.rules.tolerance));

        _post(plan, lanes);
    }

    /// @inheritdoc IPlans
    function postUncertified(bytes32 site, uint32 interval, bytes calldata lanes, string calldata reason) external {
        _requirePlanner(site);
        uint256 length = bytes(reason).length;
        require(length <= MAX_REASON, ReasonTooLong(length, MAX_REASON));

        uint256 count = ++_sites[site].uncertified;
        emit UncertifiedPosted(site, interval, msg.sender, reason, count);

        dispatch.postSetpoints(site, interval, lanes, bytes32(0));
    }

    /// @inheritdoc IPlans
    function challenge(Plan calldata plan, Certificate calldata certificate) external {
        _requireOpen(plan);
        require(plan.rules.mode == PlanMode.Optimistic, WrongMode(plan.site, plan.rules.mode));
        require(_isOf(plan, certificate), WrongCertificate(plan.site, plan.interval));
        require(!_holds(plan, certificate), CertificateHolds(plan.site, plan.interval));

        _refute(plan, Refutation.Certificate, 0);
    }

    /// @inheritdoc IPlans
    function refuteRoot(Plan calldata plan, Certificate calldata certificate) external {
        _requireOpen(plan);
        require(_isOf(plan, certificate), WrongCertificate(plan.site, plan.interval));
        Refutations.requireWrongRoot(plan, certificate);

        _refute(plan, Refutation.Root, 0);
    }

    /// @inheritdoc IPlans
    function refuteNeed(Plan calldata plan, bytes calldata inputs, uint256 index, Terms calldata terms) external {
        _requireOpenWith(plan, inputs);
        Refutations.requireWrongNeed(plan, inputs, index, terms, registry);

        _refute(plan, Refutation.Need, index);
    }

    /// @inheritdoc IPlans
    function refuteEnergy(
        Plan calldata plan,
        bytes calldata inputs,
        uint256 index,
        Terms calldata terms,
        EnergyProof calldata evidence
    ) external {
        _requireOpenWith(plan, inputs);
        Refutations.requireWrongEnergy(plan, inputs, index, terms, evidence, registry);

        _refute(plan, Refutation.Energy, index);
    }

    /// @inheritdoc IPlans
    function refutePrices(Plan calldata plan, bytes calldata inputs, uint32 day, bytes calldata prices) external {
        _requireOpenWith(plan, inputs);
        uint256 index = Refutations.requireWrongPrices(plan, inputs, day, prices);

        _refute(plan, Refutation.Prices, index);
    }

    /// @inheritdoc IPlans
    function refuteContent(Plan calldata plan, bytes calldata inputs, uint256 index, ContentProof calldata evidence)
        external
    {
        _requireOpenWith(plan, inputs);
        Refutations.requireWrongContent(plan, inputs, index, evidence, dispatch);

        _refute(plan, Refutation.Content, index);
    }

    /// @inheritdoc IPlans
    function refutePeak(
        Plan calldata plan,
        bytes calldata inputs,
        PostedReadings calldata readings,
        HistoryProof calldata history
    ) external {
        _requireOpenWith(plan, inputs);
        Refutations.requireWrongPeak(plan, inputs, readings, history, dispatch);

        _refute(plan, Refutation.Peak, 0);
    }

    /// @inheritdoc IPlans
    function announcePrices(bytes32 site, uint32 day, bytes32 pricesHash) external {
        uint256 first = block.timestamp / 1 days + 1;
        uint256 last = first + ANNOUNCED_AHEAD - 1;
        Announcement storage announcement = _sites[site].prices[day % PRICE_DAYS];
        require(registry.isAuthorised(site, msg.sender, RIGHT_DISPATCH), NotAnnouncer(site, msg.sender));
        require(day >= first && day <= last, DayOutOfRange(day, first, last));
        require(announcement.day != day, AlreadyAnnounced(site, day));

        _sites[site].prices[day % PRICE_DAYS] = Announcement(pricesHash, day, uint40(block.timestamp));
        emit PricesAnnounced(site, day, msg.sender, pricesHash);
    }

    /// @inheritdoc IPlans
    function improve(Plan calldata plan, Certificate calldata better) external {
        _requireOpen(plan);
        require(plan.rules.mode == PlanMode.Improved, WrongMode(plan.site, plan.rules.mode));
        (int256 cost,, bytes32 inputsHash,) =
            plan.rules.verifier.verify(better.inputs, better.schedule, better.multipliers);
        require(inputsHash == plan.inputsHash, WrongCertificate(plan.site, plan.interval));
        Refutations.requireHeld(plan, better);
        int256 most = plan.cost - UNITS * int256(uint256(plan.rules.epsilon));
        require(cost < most, NotCheaper(plan.site, plan.interval, cost, most));

        uint256 reward = _forfeit(plan);
        emit PlanImproved(plan.site, plan.interval, msg.sender, cost, reward);
    }

    /// @inheritdoc IPlans
    function release(Plan calldata plan) external {
        _requireKnown(plan);
        uint256 until = _challengeableUntil(plan.interval);
        require(block.timestamp >= until, ChallengeWindowOpen(plan.site, plan.interval, block.timestamp, until));

        _forget(plan);
        _stakes[plan.poster] += plan.rules.bond;
        if (plan.rules.mode == PlanMode.Optimistic) _setCertified(plan.site, plan.interval, true);
        emit BondReleased(plan.site, plan.interval, plan.poster, plan.rules.bond);
    }

    /// @inheritdoc IPlans
    /// @dev Calls out before it writes, as every deposit: what arrived is what counts.
    function depositStake(uint256 amount) external nonReentrant {
        require(amount > 0, ZeroStake());
        uint256 before = _credit.balanceOf(address(this));
        _credit.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = _credit.balanceOf(address(this)) - before;
        require(received == amount, StakeMismatch(received, amount));

        accounted += amount;
        _stakes[msg.sender] += amount;
        emit StakeDeposited(msg.sender, amount);
    }

    /// @inheritdoc IPlans
    function withdrawStake(address to, uint256 amount) external nonReentrant {
        uint256 free = _stakes[msg.sender];
        require(amount > 0, ZeroStake());
        require(amount <= free, StakeTooLow(msg.sender, free, amount));

        _stakes[msg.sender] = free - amount;
        accounted -= amount;
        emit StakeWithdrawn(msg.sender, to, amount);

        _credit.safeTransfer(to, amount);
    }

    /// @inheritdoc ICertificates
    /// @dev An interval that was forgotten is not certified.
    function isCertified(bytes32 site, uint32 first, uint32 last) external view returns (bool) {
        if (first > last || last - first >= CERTIFIED_WORDS * RUN_LENGTH) return false;
        uint256[CERTIFIED_WORDS] storage words = _sites[site].certified;
        uint256 run = first / RUN_LENGTH;
        for (uint256 from = first; from <= last; ++run) {
            uint256 end = (run + 1) * RUN_LENGTH;
            if (end > uint256(last) + 1) end = uint256(last) + 1;
            uint256 wanted = ((1 << end - from) - 1) << RUN_BITS + from % RUN_LENGTH;
            uint256 word = words[run % CERTIFIED_WORDS];
            if (uint32(word) != run || word & wanted != wanted) return false;
            from = end;
        }
        return true;
    }

    /// @inheritdoc IPlans
    function stakeOf(address account) external view returns (uint256) {
        return _stakes[account];
    }

    /// @inheritdoc IPlans
    function uncertifiedOf(bytes32 site) external view returns (uint256) {
        return _sites[site].uncertified;
    }

    /// @inheritdoc IPlans
    function planHashAt(bytes32 site, uint32 interval) external view returns (bytes32) {
        uint256 place = _sites[site].places[interval % PLAN_DEPTH];
        return uint32(place) == interval ? bytes32(place >> HASH_SHIFT << HASH_SHIFT) : bytes32(0);
    }

    /// @inheritdoc IPlans
    function isStaked(bytes32 site, uint32 interval) external view returns (bool) {
        uint256 place = _sites[site].places[interval % PLAN_DEPTH];
        return uint32(place) == interval && place & STAKED != 0;
    }

    /// @inheritdoc IPlans
    function credit() external view returns (address) {
        return address(_credit);
    }

    /// @inheritdoc IPlans
    function pricesAt(bytes32 site, uint32 day) external view returns (bytes32 pricesHash, uint40 announcedAt) {
        Announcement storage announcement = _sites[site].prices[day % PRICE_DAYS];
        if (announcement.day == day) (pricesHash, announcedAt) = (announcement.pricesHash, announcement.announcedAt);
    }

    /// @inheritdoc IPlans
    function rulesAt(bytes32 site, uint32 interval) public view returns (PlanRules memory rules) {
        SitePlans storage plans = _sites[site];
        uint32 coming = plans.coming.from;
        if (coming != 0 && interval >= coming) return plans.coming.rules;
        uint32 current = plans.current.from;
        if (current != 0 && interval >= current) return plans.current.rules;
        (rules.verifier, rules.tolerance) = (defaultVerifier, DEFAULT_TOLERANCE);
    }

    /// @dev What is known of a plan before anything is verified.
    function _open(bytes32 site, uint32 interval, Certificate calldata certificate, bytes calldata lanes)
        private
        view
        returns (Plan memory plan)
    {
        _requirePlanner(site);
        (plan.site, plan.interval, plan.poster) = (site, interval, msg.sender);
        plan.rules = rulesAt(site, interval);
        (,, plan.layoutAt) = dispatch.posterOf(site, address(this));
        plan.algorithm = address(plan.rules.verifier).codehash;
        plan.inputsHash = keccak256(certificate.inputs);
        plan.scheduleHash = keccak256(certificate.schedule);
        plan.multipliersHash = keccak256(certificate.multipliers);
        plan.columnHash = keccak256(lanes);
        plan.root = certificate.root;
        plan.postedAt = uint40(block.timestamp);
    }

    /// @dev Stakes the bond, keeps the plan's hash, and hands the first column on; Dispatch refuses what comes twice or too late.
    function _post(Plan memory plan, bytes calldata lanes) private {
        bytes32 planHash = keccak256(abi.encode(plan));
        uint256[PLAN_DEPTH] storage places = _sites[plan.site].places;
        uint256 index = plan.interval % PLAN_DEPTH;
        uint256 place = places[index];
        require(place & STAKED == 0, BondOpen(plan.site, uint32(place)));

        if (plan.rules.bond > 0) _stake(plan);
        places[index] = _place(plan.interval, plan.rules.bond, planHash);
        emit PlanPosted(plan.site, plan.interval, plan.poster, plan);

        dispatch.postSetpoints(plan.site, plan.interval, lanes, planHash);
    }

    function _stake(Plan memory plan) private {
        uint256 free = _stakes[plan.poster];
        require(free >= plan.rules.bond, StakeTooLow(plan.poster, free, plan.rules.bond));

        _stakes[plan.poster] = free - plan.rules.bond;
    }

    /// @dev A verifier that ends without saying why has run out of gas: that proves nothing but how little it was given.
    function _holds(Plan calldata plan, Certificate calldata certificate) private view returns (bool) {
        (SitePart part,) = _mismatch(plan.layoutAt, plan.rules.terms, certificate.inputs);
        if (part != SitePart.None) return false;
        try plan.rules.verifier.verify(certificate.inputs, certificate.schedule, certificate.multipliers) returns (
            int256 cost, int256 bound, bytes32, bytes32 columnHash
        ) {
            return cost == plan.cost && bound == plan.bound && columnHash == plan.columnHash;
        } catch (bytes memory reason) {
            require(reason.length > 0, Undecided(plan.site, plan.interval));
            return false;
        }
    }

    /// @dev What the inputs hold that the registry or the site's rules do not say.
    function _mismatch(address layoutAt, bytes32 terms, bytes calldata inputs)
        private
        view
        returns (SitePart part, uint256 index)
    {
        (part, index) = SiteInputs.mismatch(inputs, Layout.load(layoutAt));
        if (part == SitePart.None && terms != 0 && InputParts.termsHash(inputs) != terms) part = SitePart.Terms;
    }

    function _refute(Plan calldata plan, Refutation what, uint256 index) private {
        uint256 reward = _forfeit(plan);
        emit PlanRefuted(plan.site, plan.interval, msg.sender, what, index, reward);
    }

    /// @dev Nothing of the plan remains. Half of the bond to who showed it, the rest to the protocol.
    function _forfeit(Plan calldata plan) private returns (uint256 reward) {
        _setCertified(plan.site, plan.interval, false);
        _forget(plan);
        reward = uint256(plan.rules.bond) * CHALLENGER_BPS / BPS;
        _stakes[msg.sender] += reward;
        _stakes[registry.protocolFeeRecipient()] += plan.rules.bond - reward;
    }

    /// @dev Keeps the interval, so that the slot is not given up.
    function _forget(Plan calldata plan) private {
        _sites[plan.site].places[plan.interval % PLAN_DEPTH] = plan.interval;
    }

    function _setCertified(bytes32 site, uint32 interval, bool certified) private {
        uint256 run = interval / RUN_LENGTH;
        uint256 bit = 1 << RUN_BITS + interval % RUN_LENGTH;
        uint256[CERTIFIED_WORDS] storage words = _sites[site].certified;
        uint256 word = words[run % CERTIFIED_WORDS];
        if (uint32(word) != run) word = run;
        words[run % CERTIFIED_WORDS] = certified ? word | bit : word & ~bit;
    }

    function _requirePlanner(bytes32 site) private view {
        require(registry.isAuthorised(site, msg.sender, RIGHT_PLAN), NotPlanner(site, msg.sender));
    }

    function _requireKnown(Plan calldata plan) private view {
        uint256 place = _sites[plan.site].places[plan.interval % PLAN_DEPTH];
        uint256 expected = _place(plan.interval, plan.rules.bond, keccak256(abi.encode(plan)));
        require(place == expected, UnknownPlan(plan.site, plan.interval));
    }

    function _requireOpen(Plan calldata plan) private view {
        _requireKnown(plan);
        uint256 until = _challengeableUntil(plan.interval);
        require(block.timestamp < until, ChallengeTooLate(plan.site, plan.interval, block.timestamp, until));
    }

    function _requireOpenWith(Plan calldata plan, bytes calldata inputs) private view {
        _requireOpen(plan);
        require(keccak256(inputs) == plan.inputsHash, WrongCertificate(plan.site, plan.interval));
    }

    function _isOf(Plan calldata plan, Certificate calldata certificate) private pure returns (bool) {
        return keccak256(certificate.inputs) == plan.inputsHash && keccak256(certificate.schedule) == plan.scheduleHash
            && keccak256(certificate.multipliers) == plan.multipliersHash && certificate.root == plan.root;
    }

    function _isClose(Plan memory plan) private pure returns (bool) {
        return plan.cost - plan.bound <= UNITS * int256(uint256(plan.rules.tolerance));
    }

    function _place(uint32 interval, uint128 bond, bytes32 planHash) private pure returns (uint256) {
        return uint256(planHash) >> HASH_SHIFT << HASH_SHIFT | (bond > 0 ? STAKED : 0) | interval;
    }

    function _challengeableUntil(uint32 interval) private pure returns (uint256) {
        return interval * INTERVAL_S + CHALLENGE_WINDOW;
    }

    function _now() private view returns (uint32) {
        return uint32(block.timestamp / INTERVAL_S);
    }
}
