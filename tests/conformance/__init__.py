"""One suite for what the backends share: ``laws`` states it, and every backend's tests run it on real layers."""
