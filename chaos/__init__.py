"""`make chaos`: break things while people buy, and check everything that anybody was told."""
