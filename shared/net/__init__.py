"""TCP with limits: what every server of the suite shares on the network side."""
