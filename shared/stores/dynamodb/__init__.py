"""The store on DynamoDB, or on anything that speaks its protocol."""
