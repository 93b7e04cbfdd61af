"""The search of books with an OpenSearch or Elasticsearch cluster, over plain HTTP."""
