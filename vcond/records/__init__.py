"""What is remembered of calls beside the calls: who is in which vCon, who received and read it, when it goes. Decision 0033."""
