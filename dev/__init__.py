"""The development tools. The service never imports them."""
