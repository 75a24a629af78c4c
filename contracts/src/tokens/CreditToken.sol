// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ICreditToken} from "../IProtocol.sol";

/// @title The credit token of a local chain
/// @notice Stands in for the stablecoin of a public chain; Settlement takes any ERC-20 that moves what it is asked to.
contract CreditToken is ERC20Permit, ICreditToken {
    /// @notice Who may mint: the faucet of the local chain.
    address public immutable minter;

    constructor(address minter_) ERC20("Provolt Credit", "PVC") ERC20Permit("Provolt Credit") {
        minter = minter_;
    }

    /// @inheritdoc ICreditToken
    function mint(address to, uint256 amount) external {
        require(msg.sender == minter, NotMinter(msg.sender, minter));
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    /// @dev Money is counted in micro-units everywhere.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @inheritdoc ERC20
    function approve(address spender, uint256 amount) public override(ERC20, ICreditToken) returns (bool) {
        return super.approve(spender, amount);
    }

    /// @inheritdoc ERC20
    function balanceOf(address account) public view override(ERC20, ICreditToken) returns (uint256) {
        return super.balanceOf(account);
    }

    /// @inheritdoc ERC20
    function totalSupply() public view override(ERC20, ICreditToken) returns (uint256) {
        return super.totalSupply();
    }
}
