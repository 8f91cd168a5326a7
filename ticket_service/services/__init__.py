"""The rules. A service gets its stores handed in and knows neither Flask nor a driver."""
