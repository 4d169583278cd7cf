of no use: HCLG.fst
